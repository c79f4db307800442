# A run that its machine cannot hold is costed, and says so; narrower weights make it fit.
t=$TMP/t.db
radial trace synth --card llama-2-13b --policy dense --prompt 16 --new 4 --seqs 2 -o "$t" >/dev/null
keys() { grep -oE '"(dtype|device_bytes_peak|device_memory_frac)": [^,]*' | tr '\n' ' '; echo; }
for dtype in fp16 w8a16 w4a16; do
    radial replay "$t" --hw rtx-4090 --dtype $dtype --batch 2 --format json 2>&1 >"$TMP/r.json"
    keys <"$TMP/r.json"
done
radial replay "$t" --hw rtx-4090 --tp 2 --format json 2>&1 >"$TMP/r.json"
keys <"$TMP/r.json"
radial replay "$t" --hw rtx-4090 2>/dev/null | grep -E "device holds|of its memory|Does not fit"
cat >"$TMP/s.yaml" <<END
method: grid
parameters:
  trace: {values: [$t]}
  hw:    {values: [rtx-4090, h100-sxm-80gb]}
  dtype: {values: [fp16, w4a16]}
END
radial sweep "$TMP/s.yaml" --db "$TMP/r.db" -j 1 2>&1 | grep -E "warning|^done"
radial query "$TMP/r.db" "SELECT hw, dtype, device_memory_frac > 1 AS too_large FROM results ORDER BY 1, 2" --format csv
radial query "$TMP/r.db" "SELECT hw, dtype FROM best_per_hw ORDER BY 1" --format csv
radial replay "$t" --hw rtx-4090 --dtype w4a18 2>&1
