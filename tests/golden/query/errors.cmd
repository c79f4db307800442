# Mistakes are one line each; nothing can be written.
radial trace synth --card gpt2 --policy dense --prompt 2 --new 1 --seqs 1 --seed 1 -o "$TMP/t.db" >/dev/null
exec 2>&1
ask() { radial query "$@"; echo "-> $?"; }
ask "$TMP/t.db" "SELEC 1"
ask "$TMP/t.db" "SELECT nothing_such FROM token"
ask "$TMP/t.db" "DELETE FROM token"
ask "$TMP/t.db" "SELECT 1; DELETE FROM token"
ask "$TMP/t.db" @sumary
ask "$TMP/none.db" "SELECT 1"
echo "just text, and longer than a header" >"$TMP/notes"
ask "$TMP/notes" "SELECT 1"
ask "$TMP/t.db"
ask "$TMP/t.db" SELECT 1
ask "$TMP/t.db" @ --format xml
radial query "$TMP/t.db" "SELECT count(*) AS tokens FROM token"
ask "$TMP/t.db" "SELECT load_extension('x')" --format json
