# Folders of outputs are made; what is in the way is named. A key of a policy stands once.
exec 2>&1
m=models/dense-nano
printf 'To be, or not to be' >"$TMP/t.txt"
radial eval $m --text "$TMP/t.txt" --trace "$TMP/a/b/t.db" --per-token "$TMP/c d/e/p.csv" >/dev/null; echo $?
radial trace export "$TMP/a/b/t.db" --to csv -o "$TMP/f/x.csv"; echo $?
radial trace transplant "$TMP/a/b/t.db" --card gpt2 -o "$TMP/g/x.db" >/dev/null; echo $?
radial hw kit -o "$TMP/h/kit.py" >/dev/null; echo $?
(cd "$TMP" && find . -type f | sort)
radial eval $m --text "$TMP/t.txt" --trace "$TMP/t.txt/x/t.db"; echo $?
radial run $m --prompt a --policy skip:frac=0.5,frac=0.25; echo $?
# No output replaces its input.
radial trace export "$TMP/a/b/t.db" --to csv -o "$TMP/a/b/t.db"; echo $?
ln -s t.txt "$TMP/link.txt"
radial eval $m --text "$TMP/t.txt" --per-token "$TMP/link.txt"; echo $?
radial trace info "$TMP/a/b/t.db" | head -n 1; cat "$TMP/t.txt"
