# Weights that are no numbers are an error wherever a model predicts, not a prediction.
exec 2>&1
m=$TMP/broken
cp -r models/dense-nano "$m"
chmod u+w "$m/model.safetensors"
size=$(stat -c %s "$m/model.safetensors")
printf '\377\377\377\377' | dd of="$m/model.safetensors" bs=1 seek=$((size - 4)) conv=notrunc status=none
printf 'To be, or not to be' >"$TMP/t.txt"
for policy in dense oracle:theta=0.1 skip:frac=0; do
    radial eval "$m" --text "$TMP/t.txt" --policy $policy --trace "$TMP/t.db" --per-token "$TMP/p.csv"
    echo $?
done
radial run "$m" --prompt ab --new 3 --temperature 0 >"$TMP/out"; echo $?
radial run "$m" --prompt ab --new 3 >"$TMP/out"; echo $?
radial run models/gpt2.yaml --prompt a; echo $?
radial profile "$m" --text "$TMP/t.txt"; echo $?
ls "$TMP"
