# A table that was predicted before: the new prediction replaces the old one. What show says of fits.
printf 'op,dtype,M,N,K\ngemm,bf16,1,4096,4096\nnone,bf16,1,1,1\n' >"$TMP/ops.csv"
radial hw predict l4 --ops "$TMP/ops.csv" --out "$TMP/new/l4.csv" 2>/dev/null
radial hw predict h100-sxm-80gb --ops "$TMP/ops.csv" --out "$TMP/new/h100.csv" 2>/dev/null
radial hw predict h100-sxm-80gb --ops "$TMP/new/l4.csv" --out "$TMP/again.csv" 2>/dev/null
cmp "$TMP/new/h100.csv" "$TMP/again.csv" && echo replaced
cmp -s "$TMP/new/l4.csv" "$TMP/again.csv" || echo not the old one
radial hw predict l4 --ops "$TMP/ops.csv" --format json 2>/dev/null | grep -o '"extrapolated": [0-9a-z"]*'
radial hw show h100-sxm-80gb --format csv | grep -cE '^fit,gemm.bf16,0\.0[0-9]+,,"?median error of held-out rows; .* aic .* rows of aiconfigurator'
# All of a folder can be checked.
radial hw check hwprofiles/*.yaml --format csv 2>/dev/null | cut -d, -f2 | sort | uniq -c | awk '{ print ($1 > 40 ? "many" : $1), $2 }'
radial hw check hwprofiles/*.yaml >/dev/null 2>&1; echo $?
