/* fuzz_bpe.c - any bytes as vocab.json, merges.txt and the two configs, with a byte 0x1e in
 * between, and as a text: refused, or the text is encoded to ids in range, which decode. The first
 * byte says how many of the next are the text. */
#include "tok_make.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    made_fuzz(&rad_tokenizer_source_bpe, data, size);
    return 0;
}
