# Products of several groups, and experts: what rows say, and what they must say.
cat >"$TMP/ops.csv" <<'CSV'
op,dtype,M,N,K,hidden,ffn,tp,notes
grouped,fp16,64,4096,4096,,,,groups=4
gemm,fp16,64,4096,4096,,,,
moe,fp16,16,,,4096,1536,1,topk=8;experts=128;dist=balanced
moe,fp16,16,,,4096,1536,1,topk=8;experts=128;dist=power_law_1.2
moe,fp16,16,,,4096,1536,4,topk=8;experts=128;dist=balanced
moe,fp16,16,,,4096,1536,1,ungated;topk=8;experts=128
grouped,fp16,3,4096,4096,,,,groups=4
grouped,fp16,3,4096,4096,,,,groups=2x
moe,fp16,16,,,4096,1536,1,topk=8;experts=4
moe,fp16,16,,,4096,1536,4000,topk=8;experts=128
CSV
radial hw predict tests/oracle/hw_vectors_gpu.yaml --ops "$TMP/ops.csv" --format csv 2>&1 >"$TMP/out.csv"
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) from_end[$i] = NF - i; next }
    { t = $(NF - from_end["pred_latency_s"]); print $1, t == "" ? "-" : sprintf("%.4g", t), $(NF - from_end["bound"]) }' "$TMP/out.csv"
# Whole numbers whose product would leave int64_t.
cat >"$TMP/ops.csv" <<'CSV'
op,dtype,M,N,K,batch,seq,kv,heads,head_dim,hidden,source,tp,notes,hardware
bmm,fp16,1099511627776,1,1,1099511627776,,,,,,,,,
attention,fp16,,,,2147483647,1099511627776,1099511627776,8,64,,,,,
add,fp16,,,,1099511627776,1099511627776,,,,64,,,,
allreduce,fp16,,1048576,,,,,,,,twenty-seven-letters-of-name,8,event_incl_launch;devices_per_node=4;,h100_pairwise
CSV
radial hw predict tests/oracle/hw_vectors_gpu.yaml --ops "$TMP/ops.csv" --format csv 2>&1 >"$TMP/out.csv"
