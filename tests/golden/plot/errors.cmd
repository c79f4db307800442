# Mistakes are one line each.
radial trace synth --card gpt2 --policy dense --prompt 2 --new 1 --seqs 1 --seed 1 -o "$TMP/t.db" >/dev/null
exec 2>&1
draw() { radial plot "$@" -o "$TMP/p.svg"; echo "-> $?"; }
draw "$TMP/t.db" deph
draw "$TMP/t.db" nothing-such
draw "$TMP/t.db" pareto
draw "$TMP/t.db" residual
draw "$TMP/t.db" depth --x hw
draw "$TMP/none.db" pareto
draw depth "$TMP/none.db"
printf 'method: grid\nparameters: {trace: %s, hw: [l4], card: [gpt3-175b]}\n' "$TMP/t.db" >"$TMP/s.yaml"
radial sweep "$TMP/s.yaml" --db "$TMP/r.db" --progress none | grep done
draw "$TMP/r.db" pareto --y j_per_token
radial plot "$TMP/t.db" depth -o "$TMP/p.pdf"
echo "-> $?"
radial plot "$TMP/t.db" depth | head -1
ls "$TMP"
