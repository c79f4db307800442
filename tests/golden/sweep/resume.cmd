# A sweep computes what is missing, says what failed, and never touches a file that is not ours.
radial trace synth --card gpt2 --policy skip:frac=0.5 --prompt 8 --new 4 --seqs 4 --seed 1 -o "$TMP/t.db" >/dev/null
spec() {
    cat >"$TMP/spec.yaml" <<YAML
method: grid
parameters:
  trace: {values: ["$TMP/*.db"]}
  hw:    {values: [a100-sxm-80gb, tpu-v4]}
  batch: {values: [$1]}
constraints: ["batch <= 64"]
YAML
}
run() { radial sweep "$TMP/spec.yaml" --db "$TMP/results" --format json 2>&1 | sed 's/"points_per_s": [0-9.e+-]*/"points_per_s": N/'; }
spec "1, 4"
run
run
spec "1, 2, 4, 9, 99"
run
radial query "$TMP/results" "SELECT batch, hw, error IS NOT NULL AS failed FROM design_point ORDER BY 1, 2"
radial query "$TMP/results" @
radial query "$TMP/results" "SELECT count(*) AS runs, count(DISTINCT spec_hash) AS specs FROM run"
radial query "$TMP/results" "SELECT hw, dtype, count(*) AS points FROM design_point WHERE error IS NULL GROUP BY 1, 2"
sed -i 's/tpu-v4/host/' "$TMP/spec.yaml"
run
radial query "$TMP/results" "SELECT hw, dtype, count(*) AS points FROM design_point WHERE error IS NULL GROUP BY 1, 2"
sed -i 's/host/tpu-v4/' "$TMP/spec.yaml"
radial sweep "$TMP/spec.yaml" --db "$TMP/t.db" 2>&1
echo "-> $?"
radial sweep "$TMP/spec.yaml" 2>&1 | head -1
sed -i s/tpu-v4/tpu-v44/ "$TMP/spec.yaml"
radial sweep "$TMP/spec.yaml" --db "$TMP/none" 2>&1
ls "$TMP"
sed -i s/batch:/bathc:/ "$TMP/spec.yaml"
radial sweep "$TMP/spec.yaml" --db "$TMP/results" 2>&1
