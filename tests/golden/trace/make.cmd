# Traces that no run made: synthetic, transplanted, imported; described, counted, exported.
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
sed -e 's/toy/toy-large/' -e 's/n_layer: 4/n_layer: 6/' toy.yaml >large.yaml
cat >in.jsonl <<'LINES'
{"seq":0,"pos":0,"phase":"prefill","path":[0,1,3],"nll":1.25,"token":7}
{"seq":0,"pos":1,"phase":"prefill","path":[0,{"layer":2,"mlp":false},3],"nll":0.75}
{"seq":0,"pos":2,"phase":"decode","path":[]}
LINES
set -x
radial trace synth --card ./toy.yaml --policy skip:frac=0.5 --prompt 6 --new 2 --seqs 2 --seed 3 -o s.db
radial trace info s.db --format json
radial trace stats s.db --by depth
radial trace stats s.db --by layer --format md
radial trace transplant s.db --card ./large.yaml -o t.db --format csv
radial trace import in.jsonl --card ./toy.yaml --kv project -o i.db
radial trace export i.db --to csv
radial trace export i.db --to jsonl
radial trace export i.db --to perfetto
mkdir m && echo '{"model_type": "gpt2", "n_layer": 4, "n_embd": 64, "n_head": 4, "vocab_size": 256, "n_positions": 128}' >m/config.json
radial trace import in.jsonl --card m -o m.db --format csv
radial trace check s.db t.db i.db
radial trace synth --card "$OLDPWD/models/vit-tiny-16.yaml" --policy dense --prompt 4 -o v.db 2>&1 || echo "exit $?"
