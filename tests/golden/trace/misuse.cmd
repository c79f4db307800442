# Wrong input: one clear line, exit 1 (failed) or 2 (misused), nothing half-written.
exec 2>&1
cat >"$TMP/toy.yaml" <<'CARD'
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
try() {
    echo "\$ radial trace $*"
    radial trace "$@"
    echo "exit $?"
}
cd "$TMP" || exit 1
try inspect t.db
try info
try info absent.db
try info toy.yaml
try stats toy.yaml --by nothing
try export toy.yaml --to xml
try synth --card toy.yaml --policy dense --prompt 4 --new 1
try synth --card toy.yaml --policy dense --prompt 4 --kv keep -o t.db
try synth --card toy.yaml --policy dense --prompt 200 -o t.db
try synth --card toy.yaml --policy oracle:theta=0.1 --prompt 4 -o t.db
try synth --card toy.yaml --policy dence --prompt 4 -o t.db
try synth --card toy.yaml --policy dense --prompt 4 -o toy.yaml
echo '{"seq":0,"pos":0,"phase":"prefill","path":[0,9]}' >in.jsonl
try import in.jsonl --card toy.yaml -o t.db
echo '{"seq":0,"pos":0,"phase":"prefill","path":[0,1]' >in.jsonl
try import in.jsonl --card toy.yaml -o t.db
echo '{"seq":0,"pos":0,"phase":"prefill","path":[1,0]}' >in.jsonl
try import in.jsonl --card toy.yaml --kv copy -o t.db
try import in.jsonl --card toy.yaml -o deep.db --format csv
sed 's/n_layer: 4/n_layer: 3/' toy.yaml >small.yaml
try transplant deep.db --card small.yaml -o t.db
try transplant deep.db --card toy.yaml -o deep.db
(cd - >/dev/null && try transplant "$TMP/deep.db" --card vit-tiny-16 -o "$TMP/t.db"; try() { radial "$@"; echo "exit $?"; }; try replay "$TMP/deep.db" --card vit-tiny-16 --hw l4)
ls
