# Every picture has its table and script beside it, and the script draws it again.
command -v gnuplot >/dev/null || { echo "no gnuplot"; exit 77; }
radial trace synth --card gpt2 --policy skip:frac=0.5 --prompt 8 --new 4 --seqs 4 --seed 1 -o "$TMP/t.db" >/dev/null
cat >"$TMP/spec.yaml" <<YAML
method: grid
parameters: {trace: $TMP/t.db, hw: [a100-sxm-80gb, tpu-v4], batch: [1, 4]}
YAML
radial sweep "$TMP/spec.yaml" --db "$TMP/r.db" --progress none >/dev/null
radial plot "$TMP/r.db" pareto --y j_per_token --color batch -o "$TMP/a.svg" --format json
radial plot "$TMP/r.db" heatmap --y hw --x batch --where "batch > 0" -o "$TMP/b.png" --format json
radial plot "$TMP/t.db" depth -o "$TMP/c.svg" --format json
for table in a b c; do head -n 1 "$TMP/$table.tsv"; done
(cd "$TMP" && ls [abc].* && rm a.svg && gnuplot a.gp && ls a.svg)
head -c 5 "$TMP/a.svg" && echo && head -c 4 "$TMP/b.png" | tail -c 3 && echo

# A name is a name, whatever gnuplot would make of it.
(cd "$TMP" && for name in ./-x.svg '|touch ran.svg' '<touch ran.svg'; do
    RADIAL_PATH=$OLDPWD radial plot r.db heatmap --y hw --x batch -o "$name" --format csv 2>/dev/null; done; ls ./*x.svg ./*ran*)
