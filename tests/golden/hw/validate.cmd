# docs/validation.md is what `radial validate` finds on the measured data, where there are any.
data=$SHARED/measured/calibration.tar.xz
[ -f "$data" ] || { echo "no measured data: $data"; exit 77; }
mkdir "$TMP/calib"
tar -xJf "$data" -C "$TMP/calib" --strip-components=1 calib/aic_gemm_RTX-PRO-6000-BSE_bf16.csv calib/vidur_ops_H100-80GB.csv
radial validate "$TMP/calib" -o "$TMP/validation.md" >/dev/null 2>&1
echo "exit $?"
# Lines of fits must be there word for word; those of the goals sum up what is there.
sed "/^## Goals/,/^## Shapes/d" "$TMP/validation.md" | grep -vxFf docs/validation.md
grep -c '^| [hr]' "$TMP/validation.md"
radial validate "$TMP" 2>&1
echo "exit $?"
