# Names of columns are text of the user's too: nothing in them moves a cursor or breaks a table.
cd "$TMP" || exit 1
cat >toy.yaml <<'CARD'
name: toy
sources: {here: this test}
n_layer: 4
d_model: 64
n_head: 4
ffn: 128
vocab: 256
n_ctx: 128
norm: rms
act: swiglu
CARD
radial trace synth --card toy.yaml --policy dense --prompt 4 -o t.db >/dev/null
sql="SELECT 1 AS 'a|b', 2 AS 'x
y', 3 AS '$(printf '\033')[31m'"
for format in table md json csv; do
    radial query t.db "$sql" --format $format | od -c | grep -c 033
    radial query t.db "$sql" --format $format | tr -d '\033'
done
