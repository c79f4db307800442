# The keys that scripts rely on, and depths that depend on no weight, with a model trained on the spot.
cat >"$TMP/spec.yaml" <<'SPEC'
model: {n_layer: 4, d_model: 16, n_head: 2, ffn: 32, ctx: 32}
steps: 3
batch: 2
router: {hidden: 8, max_hops: 6}
SPEC
keys() { tr ',{[' '\n\n\n' | sed -n 's/^ *"\([a-z0-9_]*\)": .*/\1/p' | sort -u | tr '\n' ' '; echo; }
radial train "$TMP/spec.yaml" --text tests/data/easy.txt --out "$TMP/m" --format json | keys
head -c 300 tests/data/easy.txt >"$TMP/t.txt"
radial run "$TMP/m" --prompt 'It was late' --new 4 --format json | keys
radial eval "$TMP/m" --text "$TMP/t.txt" --per-token "$TMP/p.csv" --format json | keys
head -n 1 "$TMP/p.csv"
wc -l <"$TMP/p.csv"
awk -F, 'NR > 1 && $5 >= 1 && length($5) == 10 { n++ } END { print (n > 20 ? "nine digits" : n) }' "$TMP/p.csv"
radial profile "$TMP/m" --text "$TMP/t.txt" --format json | keys
radial profile "$TMP/m" --text "$TMP/t.txt" --format csv | cut -d, -f1-3
radial profile "$TMP/m" --text "$TMP/t.txt" --skip-loss 9 --samples "$TMP/s.csv" --format json | keys
head -n 1 "$TMP/s.csv"
wc -l <"$TMP/s.csv"
radial bench "$TMP/m" --repeat 1 --format json --progress none | keys
echo '# depth under every character: nothing new, a policy that looks at no weight'
radial run "$TMP/m" --prompt $'The old\nhouse' --new 0 --policy skip:frac=0.5,seed=1 --show-depth | head -n 4
echo '# the same run twice'
for i in 1 2; do
    radial run "$TMP/m" --prompt Once --new 20 --seed 7 --policy dense --format csv | cut -d, -f1 >"$TMP/$i"
done
cmp "$TMP/1" "$TMP/2" && echo same
echo '# traces of all of them are sound'
radial run "$TMP/m" --prompt Once --new 9 --stats --trace "$TMP/run.db" --format csv >/dev/null
radial eval "$TMP/m" --text "$TMP/t.txt" --decode --trace "$TMP/eval.db" --format csv >/dev/null
radial profile "$TMP/m" --text "$TMP/t.txt" --trace "$TMP/profile.db" --format csv >/dev/null
radial trace check "$TMP"/*.db --format csv | cut -d, -f1-5,7
