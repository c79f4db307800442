# This machine measured: a profile that is accepted, found by name and costs operations.
mkdir "$TMP/hwprofiles"
radial hw calibrate host -o "$TMP/hwprofiles/this-one.yaml" --format json --progress none >"$TMP/r.json"
tr ',{' '\n\n' <"$TMP/r.json" | sed -n 's/^ *"\([a-z0-9_]*\)": .*/\1/p' | tr '\n' ' '
echo
radial hw check "$TMP/hwprofiles/this-one.yaml" --format csv | cut -d, -f2,3
export RADIAL_PATH=$TMP
radial hw show this-one --format csv | awk -F, '$2 == "peak.fp32" || $2 == "bandwidth" { print $2, ($3 > 1e9) }'
printf 'op,dtype,M,N,K\ngemm,fp32,64,1024,1024\n' >"$TMP/ops.csv"
radial hw predict this-one --ops "$TMP/ops.csv" --format csv | awk -F, 'NR > 1 { print ($6 > 1e-5 && $6 < 0.1), $(NF - 2) ~ /^(compute|memory|overhead)$/ }'
