# Wrong input to the commands that run models: one clear line, exit 1 or 2, nothing half-written.
exec 2>&1
try() { radial "$@"; echo "  exit $?"; }
cat >"$TMP/spec.yaml" <<'SPEC'
model: {n_layer: 2, d_model: 16, n_head: 2, ffn: 32, ctx: 32}
steps: 2
batch: 2
router: {hidden: 8}
SPEC
radial train "$TMP/spec.yaml" --text tests/data/easy.txt --out "$TMP/m" --format csv >/dev/null
sed '/router/d' "$TMP/spec.yaml" >"$TMP/plain.yaml"
radial train "$TMP/plain.yaml" --text tests/data/easy.txt --out "$TMP/d" --format csv >/dev/null
try run "$TMP/m"
try run "$TMP/none" --prompt x
try run "$TMP/m" --prompt x --policy radail
try run "$TMP/m" --prompt x --policy radial:bugdet=1
try run "$TMP/m" --prompt x --policy radial:budget=9
try run "$TMP/m" --prompt x --policy "skip:seed=12345$(printf ',seed=1%.0s' $(seq 33)),frac=0.25"
try run "$TMP/m" --prompt x --kv copy --trace "$TMP/no.db"
try run "$TMP/m" --prompt x --kv cpoy
try run "$TMP/d" --prompt x --policy radial --trace "$TMP/no.db"
try run "$TMP/d" --prompt x --policy oracle:theta=0.1 --kv project --trace "$TMP/no.db"
try run "$TMP/m" --prompt '' --trace "$TMP/no.db"
try run "$TMP/m" --prompt 'longer than the thirty-two bytes that fit' --trace "$TMP/no.db"
try run "$TMP/m" --prompt x --top-p 2
try eval "$TMP/m"
try eval "$TMP/m" --text "$TMP/none.txt" --trace "$TMP/no.db"
echo '1 2 300' >"$TMP/ids.txt"
try eval "$TMP/m" --tokens "$TMP/ids.txt" --trace "$TMP/no.db"
try profile "$TMP/m" --tokens "$TMP/ids.txt"
echo '1 2 3' >"$TMP/good.txt"
try profile "$TMP/m" --tokens "$TMP/good.txt" --skip-loss 5 --policy skip:frac=0.5
try profile "$TMP/m" --tokens "$TMP/ids.txt" --samples "$TMP/s.csv"
try bench "$TMP/m" --prompt 30 --new 30
head -c 1000 "$TMP/m/model.safetensors" >"$TMP/short" && mv "$TMP/short" "$TMP/m/model.safetensors"
try run "$TMP/m" --prompt x
try train "$TMP/spec.yaml" --text tests/data/easy.txt --out "$TMP/d"
sed 's/steps/stpes/' "$TMP/spec.yaml" >"$TMP/typo.yaml"
try train "$TMP/typo.yaml" --text tests/data/easy.txt --out "$TMP/x"
try distill "$TMP/spec.yaml" --text tests/data/easy.txt --out "$TMP/x"
ls "$TMP"
