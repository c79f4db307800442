# One row with every kind of value in every format; columns of one name stay apart.
radial trace synth --card gpt2 --policy dense --prompt 2 --new 1 --seqs 1 --seed 1 -o "$TMP/t.db" >/dev/null
for format in table json csv md; do
    radial query "$TMP/t.db" "SELECT 7 AS n, NULL AS none, 'a|\"b,' || char(27) AS text, 1.0 / 3 AS x, x'00ff' AS x" \
        --format $format
done
radial query "$TMP/t.db" "SELECT 1 AS a WHERE 0" --format json
radial query "$TMP/t.db" "SELECT 1 AS a WHERE 0" --format csv
