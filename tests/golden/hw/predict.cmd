# Operations of a CSV through a made-up machine, and what it cannot cost.
cat >"$TMP/ops.csv" <<'CSV'
id,op,dtype,M,N,K,batch,seq,kv,heads,kv_heads,head_dim,hidden,notes
a,gemm,fp16,1,4096,4096,,,,,,,,
b,gemm,fp16/bf16,512,4096,4096,,,,,,,,"quoted, ""and"" hot;l2hot"
c,gemm,w4a16,1,4096,4096,,,,,,,,
d,bmm,fp32,64,64,64,8,,,,,,,
e,attention_prefill,fp16,,,,2,128,128,32,8,128,,
f,attention_decode,fp16,,,,16,1,1024,32,8,128,,
g,layernorm,fp16,,,,512,1,,,,,4096,
h,activation,fp16,,,,512,1,,,,,11008,gated
i,activation,fp16,,,,512,1,,,,,11008,gelu
j,allreduce,fp16,,1048576,,,,,,,,,
k,gemm,fp64,1,2,3,,,,,,,,
l,gemm,fp16,1,x,3,,,,,,,,
m,attention_decode,fp16,,,,1,64,8,32,8,128,,
CSV
hw=tests/oracle/hw_vectors_gpu.yaml
radial hw predict $hw --ops "$TMP/ops.csv" --format csv 2>&1 >"$TMP/out.csv"
cut -d, -f1-7 "$TMP/out.csv" | head -n 2
awk -F, 'function f(x) { return x == "" ? "-" : sprintf("%.6g", x) }
    function c(name) { return f($(NF - from_end[name])) }
    NR == 1 { for (i = 1; i <= NF; i++) from_end[$i] = NF - i; next }
    { print $1, $2, c("pred_latency_s"), c("pred_energy_j"), c("lo_s"), c("hi_s"),
            $(NF - from_end["extrapolated"]), $(NF - from_end["bound"]), c("pred_usd"), c("pred_owned_usd") }' "$TMP/out.csv"
radial hw predict $hw --ops "$TMP/ops.csv" --out "$TMP/same.csv" 2>/dev/null
cmp "$TMP/out.csv" "$TMP/same.csv" && echo same
