# A profile fitted to measured rows: made-up kernels of 60 TFLOP/s and 250 GB/s behind 8 us, every
# row 3 % up or down; one row is far off, one unreadable, one measured with weights hot in L2.
awk 'BEGIN {
    print "source,hardware,op,dtype,M,N,K,latency_us,notes"
    for (m = 1; m <= 4096; m *= 4) for (n = 1024; n <= 16384; n *= 2) for (k = 1024; k <= 8192; k *= 2) {
        c = 2 * m * n * k / 60e12; b = 2 * (m * n + n * k + m * k) / 250e9
        noise = ++i % 2 ? 1.03 : 0.97
        t = 8e-6 + (c * c * c + b * b * b) ^ (1 / 3)
        printf "made-up-1.0,some,gemm,bf16,%d,%d,%d,%.6g,\n", m, n, k, 1e6 * t * noise * (i == 50 ? 9 : 1)
    }
    print "made-up-1.0,some,gemm,bf16,1,1024,x,1,"
    print "made-up-1.0,some,gemm,bf16,1,1024,1024,1,l2hot"
}' >"$TMP/made.csv"
radial hw calibrate l4 --measured "$TMP/made.csv" --data "made up" -o "$TMP/new.yaml" --format csv 2>&1 >"$TMP/report.csv"
awk -F, 'NR > 1 { print $1, $2, $3, $5, ($6 > 0.02 && $6 < 0.05), ($9 < 0.01 && $9 > -0.01) }' "$TMP/report.csv"
radial hw check "$TMP/new.yaml" --format csv | cut -d, -f2,3
grep -c 'data: "made up"' "$TMP/new.yaml"
radial hw validate "$TMP/new.yaml" --measured "$TMP/made.csv" --format csv 2>&1 | awk -F, '
    /warning/ { print }
    NR > 1 && !/warning/ { print $2, $3, $4, $5, ($6 < 0.04), ($10 > 0.7) }'
# 30 of the rows do, and a shape outside them is marked.
radial hw calibrate l4 --measured "$TMP/made.csv" --points 30 -o "$TMP/few.yaml" --format csv 2>/dev/null | awk -F, 'NR > 1 { print $5 }'
printf 'source,op,dtype,M,N,K\nmade-up-1.0,gemm,bf16,64,2048,2048\nmade-up-1.0,gemm,bf16,64,131072,2048\n' >"$TMP/ops.csv"
radial hw predict "$TMP/new.yaml" --ops "$TMP/ops.csv" --format csv | awk -F, 'NR > 1 { print $(NF-3), ($(NF-5) < $(NF-7)), ($(NF-4) > $(NF-7)), $(NF-2) }'
ls "$TMP"
# Nothing is written when nothing can be fitted.
head -n 3 "$TMP/made.csv" >"$TMP/two.csv"
radial hw calibrate l4 --measured "$TMP/two.csv" -o "$TMP/none.yaml" 2>&1
echo "exit $?"
ls "$TMP" | grep -c none
:
# What a machine was not measured for: the mean of other parts, or the fit of the only one asked for.
radial hw calibrate tests/oracle/hw_vectors_gpu.yaml --like rtx-a6000,rtx-3090 -o "$TMP/class.yaml"
radial hw check "$TMP/class.yaml" --format csv | cut -d, -f2,3
grep -c 'data: "class: mean of 2 measured GPUs"' "$TMP/class.yaml"
radial hw calibrate tests/oracle/hw_vectors_gpu.yaml --like rtx-3090 -o "$TMP/like.yaml"
grep 'data: ' "$TMP/like.yaml" | sort -u
for names in nothing rtx-3090,,l4; do
    radial hw calibrate l4 --like $names -o "$TMP/none.yaml" 2>&1
    echo "exit $?"
done
radial hw calibrate u280 --like l4 -o "$TMP/none.yaml" 2>&1
echo "exit $?"
# Rows of other parts in the file are left out.
sed '2,5s/,some,/,A40,/' "$TMP/made.csv" >"$TMP/two-parts.csv"
radial hw calibrate l4 --measured "$TMP/two-parts.csv" -o "$TMP/l4.yaml" 2>&1 | grep other
