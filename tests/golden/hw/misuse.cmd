# Wrong input to `radial hw`, and what list, show and check say.
exec 2>&1
try() { radial hw "$@"; echo "  exit $?"; }
radial hw list --format csv | grep -E '^(a100-sxm-80gb|tpu-v4|u280|host),' | cut -d, -f1,2
try show a100-sxm80
radial hw show tests/oracle/hw_vectors_systolic.yaml | head -n 4
sed 's/TFLOP/TB/' tests/oracle/hw_vectors_gpu.yaml >"$TMP/unit.yaml"
try check tests/oracle/hw_vectors_gpu.yaml "$TMP/unit.yaml" "$TMP/none.yaml" --format csv | cut -d, -f1-3
try lst
try calibrate host
try calibrate a100-sxm-80gb -o "$TMP/x.yaml"
try calibrate a100-sxm-80gb --measured "$TMP/none.csv" -o "$TMP/x.yaml"
try calibrate a100-sxm-80gb --measured "$TMP/none.csv" --points x -o "$TMP/x.yaml"
try validate a100-sxm-80gb
try predict a100-sxm-80gb
try predict a100-sxm-80gb --ops "$TMP/none.csv"
printf 'a,b\n1,2\n' >"$TMP/bad.csv"
try predict a100-sxm-80gb --ops "$TMP/bad.csv" --out "$TMP/x.csv"
printf 'op,dtype\ngemm\n' >"$TMP/bad.csv"
try predict a100-sxm-80gb --ops "$TMP/bad.csv" --out "$TMP/x.csv"
printf 'op,dtype\n"gemm,fp16\n' >"$TMP/bad.csv"
try predict a100-sxm-80gb --ops "$TMP/bad.csv" --out "$TMP/x.csv"
: >"$TMP/bad.csv"
try predict a100-sxm-80gb --ops "$TMP/bad.csv" --out "$TMP/x.csv"
ls "$TMP"
# Spreadsheets write a mark before the header; a column stands once; no rows are a header.
printf '\357\273\277op,dtype,M,N,K\ngemm,bf16,1,4096,4096\n' >"$TMP/bad.csv"
try predict a100-sxm-80gb --ops "$TMP/bad.csv" --format csv | cut -d, -f1-5
printf 'op,dtype,M,N,K,K\ngemm,bf16,1,4096,5,6\n' >"$TMP/bad.csv"
try predict a100-sxm-80gb --ops "$TMP/bad.csv"
printf 'op,dtype,M,N,K\n' >"$TMP/bad.csv"
try predict a100-sxm-80gb --ops "$TMP/bad.csv" --format csv
