/* fuzz_tokenizer_json.c - any bytes as a tokenizer.json and as a text: refused, or the text is
 * encoded to ids in range, which decode. The first byte says how many of the next are the text. */
#include "tok_make.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    made_fuzz(&rad_tokenizer_source_json, data, size);
    return 0;
}
