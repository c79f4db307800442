#!/usr/bin/env bash
# seeds.sh FUZZER DIR - put small files that FUZZER accepts into DIR, for it to start from. Those of
# tokenizers begin with the length of a text and the text.
set -euo pipefail
cd "$(dirname "$0")/../.."
fuzzer=$1 dir=$2 tok=tests/oracle/tok n=0
mkdir -p "$dir"

# seed TEXT FILE... - TEXT with its length in front, then the files with a byte 0x1e in between.
seed() {
    local text=$1 out="$dir/seed-$n" sep=
    shift
    n=$((n + 1))
    {
        # shellcheck disable=SC2059 # the format is one byte
        printf "\\x$(printf '%02x' "${#text}")"
        printf '%s' "$text"
        for file in "$@"; do
            printf '%s' "$sep"
            cat "$file"
            sep=$'\x1e'
        done
    } > "$out"
}

# A vocabulary of a few pieces, with the steps given.
small_json() {
    cat << END
{"added_tokens": [{"id": 9, "content": "<x>", "special": true, "lstrip": true}],
"normalizer": $1, "pre_tokenizer": $2, "post_processor": $3, "decoder": $4,
"model": {"type": "BPE", "unk_token": "u", "byte_fallback": true, "fuse_unk": true,
"ignore_merges": $5, "vocab": {"a": 0, "b": 1, "ab": 2, "u": 3, "abab": 4, "▁": 5, "▁a": 6, "<0x41>": 7},
"merges": ["a b", ["ab", "ab"], "▁ a"]}}
END
}

case $fuzzer in
fuzz_tokenizer)
    # Pieces <unk>, <s>, a mark, a, b, ab; then BPE, and no rules for white space.
    seed "ab ba  x" <(printf '\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02\x0a\x0c\x0a\x03<s>\x15\x00\x00\x00\x00\x18\x03'
        printf '\x0a\x0c\x0a\x03▁\x15\x00\x00\x80\xbf\x18\x01\x0a\x0a\x0a\x01a\x15\x00\x00\x80\xbf\x18\x01'
        printf '\x0a\x0a\x0a\x01b\x15\x00\x00\x80\xbf\x18\x01\x0a\x0b\x0a\x02ab\x15\x00\x00\x00\xbf\x18\x04'
        printf '\x12\x02\x18\x02\x1a\x04\x18\x01\x20\x00')
    real=../shared/data/checkpoints/stories260K/tokenizer.model
    if [ -f "$real" ]; then seed "once upon" "$real"; fi
    ;;
fuzz_tokenizer_json)
    bos='{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>"}}, {"Sequence": {"id": "A"}}], "special_tokens": {"<x>": {"ids": [9]}}}'
    marks='{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}'
    blanks='{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}'
    strip='{"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}'
    split='{"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "a?b|\\s+(?!\\S)"}, "behavior": "Isolated"}, {"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]}'
    seed "a ab<x>c" <(small_json "$blanks" null "$bos" "$strip" false)
    seed "ab abab A" <(small_json null "$marks" "$bos" "$strip" true)
    seed "abab 12 b" <(small_json '{"type": "NFC"}' "$split" '{"type": "ByteLevel"}' '{"type": "ByteLevel"}' false)
    seed "it's ab" <(small_json null '{"type": "ByteLevel"}' null null true)
    ;;
fuzz_bpe)
    small='{"a": 0, "b": 1, "ab": 2, "</s>": 3, "<pad>": 4, "Ġ": 5, "<|endoftext|>": 6, "Ġa": 7}'
    merges=$'#version: 0.2\na b\nĠ a\n'
    seed "ab a<|endoftext|>" <(printf '%s' "$small") <(printf '%s' "$merges")
    seed "ab</s> b" <(printf '%s' "$small") <(printf '%s' "$merges") \
        <(printf '{"add_bos_token": true, "bos_token": "</s>", "add_prefix_space": true}') \
        <(printf '{"pad_token": {"content": "<pad>"}}')
    seed "the cat's <pad>" $tok/opt/vocab.json $tok/opt/merges.txt $tok/opt/tokenizer_config.json \
        $tok/opt/special_tokens_map.json
    ;;
fuzz_gguf_vocab)
    for file in "$tok"/*.gguf; do
        seed "the cat's 12 </s>" "$file"
    done
    ;;
fuzz_split)
    for pattern in "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+" \
        '(?i:x)|[^\r\n\p{L}]?\p{L}+|\p{N}{1,3}|\s*[\r\n]+' ' ?[^(\s|[.,!?]))]+' '(?=(\d{3})+(?!\d))' 'a*b|a'; do
        seed "$pattern" <(printf 'it is  12345 é e\xcc\x81\xcc\xa3 aaab\n\n x')
    done
    ;;
fuzz_image)
    # One pixel high, two wide: PNG. The first byte is the size to make of it.
    printf '\x04\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x00\x02\x00\x00\x00\x01\x08\x02\x00\x00\x00\x7b\x40\xe8\xdd' > "$dir/seed-0"
    printf '\x00\x00\x00\x0fIDAT\x78\xda\x63\x38\xc1\x25\xc7\xc0\xc0\x00\x05\x61\x00\xf1\x37\x57\x35' >> "$dir/seed-0"
    printf '\xbb\x00\x00\x00\x00IEND\xae\x42\x60\x82' >> "$dir/seed-0"
    ;;
fuzz_yaml)
    for file in hwprofiles/t4.yaml hwprofiles/host.yaml models/recipes/*.yaml; do
        if [ -f "$file" ]; then cp "$file" "$dir/"; fi
    done
    ;;
fuzz_hw)
    for file in hwprofiles/u280.yaml hwprofiles/tpu-v5e.yaml hwprofiles/xeon-8480.yaml; do
        cp "$file" "$dir/"
    done
    ;;
fuzz_folder)
    # The first byte chooses which file of the folder the others are.
    printf '\x00{"metadata":{"total_size":16},"weight_map":{"x":"a.safetensors","y":"b.safetensors"}}' > "$dir/seed-0"
    printf '\x01{"do_resize":true,"size":{"height":4,"width":4},"resample":2,"do_rescale":true,"rescale_factor":0.5,"do_normalize":true,"image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5]}' \
        > "$dir/seed-1"
    printf '\x02abc\n' > "$dir/seed-2"
    {
        printf "\\x03\\x93NUMPY\\x01\\x00\\x76\\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4, 4), }"
        printf '%58s\n' ''
        head -c 192 /dev/zero
    } > "$dir/seed-3"
    ;;
fuzz_torch)
    # The first byte chooses: a file, or its pickle, which is the first entry and begins at byte 64.
    for file in tests/oracle/torch/*/*.bin; do
        n=$((n + 1))
        { printf '\x00'; cat "$file"; } > "$dir/file-$n"
        { printf '\x01'; tail -c +65 "$file" | head -c 700; } > "$dir/pickle-$n"
    done
    ;;
fuzz_safetensors)
    # The first two bytes choose the length of the header.
    printf '\x5d\x00{"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"__metadata__":{"format":"pt"},"b":1 }01234567' \
        > "$dir/seed-0"
    printf '\x39\x00{"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}   01234567' > "$dir/seed-1"
    ;;
esac
