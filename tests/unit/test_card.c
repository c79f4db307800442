/* test_card.c - model cards: published parameter counts, JSON round trip, refused input. */
#include "refuse.h"
#include "test.h"

#include "base/io.h"
#include "spec/spec.h"

#include <stdlib.h>

/* Published counts; where a model's name is all that was published, 2 % of it. */
static const struct {
    const char *name;
    int64_t params;
    double about;
} cards[] = {
    {"llama-2-7b", 6738415616, 0},
    {"llama-2-13b", 13015864320, 0},
    {"llama-2-70b", 68976648192, 0},
    {"llama-3.1-8b", 8030261248, 0},
    {"llama-3.1-70b", 70553706496, 0},
    {"mistral-7b", 7241732096, 0},
    {"qwen2-7b", 7615616512, 0},
    {"tinyllama-1.1b", 1100048384, 0},
    {"gpt2", 124439808, 0},
    {"gpt2-medium", 354823168, 0},
    {"gpt2-large", 774030080, 0},
    {"gpt2-xl", 1557611200, 0},
    {"gpt3-175b", 0, 175e9},
    {"bloomz-7b1", 7069016064, 0},
    {"opt-350m", 331196416, 0},
    {"opt-2.7b", 0, 2.7e9},
    {"vit-tiny-16", 5717416, 0},
    {"vit-small-16", 22050664, 0},
    {"vit-base-16", 86567656, 0},
    {"vit-large-16", 304326632, 0},
    {"vit-huge-14", 632045800, 0},
    {"opt-125m", 125239296, 0},
    {"opt-1.3b", 1315758080, 0},
    {"opt-6.7b", 0, 6.7e9},
    {"opt-13b", 0, 13e9},
    {"opt-30b", 0, 30e9},
    {"opt-66b", 0, 66e9},
};
enum { N_CARD = sizeof cards / sizeof cards[0] };

static void cards_have_their_published_parameters(void)
{
    for (size_t i = 0; i < N_CARD; i++) {
        struct rad_card c;
        OK(rad_card_open(&c, cards[i].name, &err));
        CU_ASSERT_STRING_EQUAL(c.name, cards[i].name);
        CU_ASSERT_EQUAL(c.params_expected, cards[i].params);
        const double exact = (double)cards[i].params;
        NEAR((double)rad_card_params(&c), exact > 0.0 ? exact : cards[i].about,
             exact > 0.0 ? 0.0 : 0.02);
    }
}

static void json_round_trip(void)
{
    for (size_t i = 0; i < N_CARD; i++) {
        struct rad_card a, b;
        char *text = NULL, *again = NULL;
        OK(rad_card_open(&a, cards[i].name, &err));
        if (i == 0) { /* one with a router */
            a.router_hidden = 64;
            a.max_hops = 2 * a.n_layer;
            a.params_expected = 0;
        }
        OK(rad_card_to_json(&a, &text, &err));
        OK(rad_card_from_json(&b, text, &err));
        OK(rad_card_to_json(&b, &again, &err));
        CU_ASSERT_STRING_EQUAL(text, again);
        CU_ASSERT_STRING_EQUAL(a.name, b.name);
        CU_ASSERT_EQUAL(a.act, b.act);
        CU_ASSERT_EQUAL(a.bias, b.bias);
        CU_ASSERT_EQUAL(rad_card_params(&a), rad_card_params(&b));
        free(text);
        free(again);
    }
}

/* A card file with one line replaced or added. */
#define CARD_SHAPE "n_layer: 2\nd_model: 8\nn_head: 2\nffn: 16\nvocab: 32\n"
#define CARD_HEAD "name: t\nsources: {a: b}\n" CARD_SHAPE
#define CARD_TAIL "n_ctx: 64\nnorm: rms\nact: swiglu\n"

static void card_files_fail_with_a_place(void)
{
    static const struct {
        const char *text, *message;
        enum rad_status status;
    } rows[] = {
        {CARD_HEAD CARD_TAIL "n_heads: 2\n", ":11:1: unknown key 'n_heads'; did you mean 'n_head'",
         RAD_E_PARSE},
        {CARD_HEAD CARD_TAIL "n_head: 2\n", ":11:1: 'n_head' is set twice, first in line 5",
         RAD_E_PARSE},
        {CARD_HEAD "norm: rms\nact: swiglu\n", ":1:1: missing required key 'n_ctx'", RAD_E_RANGE},
        {CARD_HEAD "n_ctx: 64\nnorm: rms\nact: swish\n",
         ":10:6: act: expected swiglu, gelu or relu but found 'swish'", RAD_E_PARSE},
        {CARD_HEAD CARD_TAIL "n_kv: 3\n", ":11:7: n_kv: expected 1..2 but found 3", RAD_E_RANGE},
        {CARD_HEAD CARD_TAIL "d_head: 3\n",
         ":11:9: d_head: expected an even number for rotary positions but found 3", RAD_E_RANGE},
        {CARD_HEAD CARD_TAIL "max_hops: 4\n",
         ":11:11: max_hops: expected n_layer 2 without a router but found 4; set router_hidden",
         RAD_E_RANGE},
        {CARD_HEAD CARD_TAIL "params_expected: 7\n",
         ":11:18: params_expected: expected 7 parameters but the shape has 1832; one field is "
         "wrong",
         RAD_E_RANGE},
        {CARD_HEAD CARD_TAIL "tied: yes\n", ":11:7: expected true or false but found 'yes'",
         RAD_E_PARSE},
        {CARD_HEAD "n_ctx: 9999999999\nnorm: rms\nact: swiglu\n",
         ":8:8: must be in 0..2147483647 but is 9999999999", RAD_E_RANGE},
        {CARD_HEAD "n_ctx: 64.5\nnorm: rms\nact: swiglu\n",
         ":8:8: expected a whole number but found '64.5'", RAD_E_PARSE},
        {"name: ../t\nsources: {a: b}\n" CARD_SHAPE CARD_TAIL,
         ":1:7: name: expected 1 to 63 of letters, digits, '.', '_' and '-'", RAD_E_RANGE},
        {"name: t\n" CARD_SHAPE CARD_TAIL, ":1:1: missing required key 'sources'", RAD_E_RANGE},
        {"name: t\nsources: memory\n" CARD_SHAPE CARD_TAIL,
         ":2:10: sources: expected a mapping of names to texts; say where the shape is from",
         RAD_E_PARSE},
        {"- 1\n", ":1:1: expected a mapping (key: value) but found a list", RAD_E_PARSE},
    };
    OK(rad_dir_make("build/tmp", &err));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rad_card c;
        char message[RAD_ERR_MAX];
        write_file("build/tmp/card.yaml", rows[i].text);
        CU_ASSERT_EQUAL(rad_card_open(&c, "build/tmp/card.yaml", &err), rows[i].status);
        snprintf(message, sizeof message, "build/tmp/card.yaml%s", rows[i].message);
        CU_ASSERT_STRING_EQUAL(err.msg, message);
        CU_ASSERT_EQUAL(c.n_layer, 0); /* nothing half-read */
    }
    struct rad_card c;
    REFUSES(rad_card_open(&c, "lama-2-7b", &err), RAD_E_IO,
            "no 'lama-2-7b.yaml' in models; did you mean 'llama-2-7b'");
}

static void card_json_is_refused_in_words(void)
{
    static const struct {
        const char *text, *message;
        enum rad_status status;
    } rows[] = {
        {"", "card:1:0: ", RAD_E_PARSE},
        {"{", "card:1:1: ", RAD_E_PARSE},
        {"[]", "card: expected an object", RAD_E_PARSE},
        {"{\"name\": \"t\"}", "card: 'n_layer': expected an integer but found nothing",
         RAD_E_PARSE},
        {"{\"name\": \"t\", \"n_layers\": 2}",
         "card: unknown key 'n_layers'; did you mean 'n_layer'", RAD_E_PARSE},
        {"{\"name\": \"t\", \"n_layer\": \"2\"}",
         "card: 'n_layer': expected an integer but found a string", RAD_E_PARSE},
        {"{\"name\": \"t\", \"n_layer\": -2}",
         "card: 'n_layer': expected 0..2147483647 but found -2", RAD_E_RANGE},
        {"{\"name\": 3}", "card: 'name': expected a string but found an integer", RAD_E_PARSE},
        {"{\"name\": \"0123456789012345678901234567890123456789012345678901234567890123456789\"}",
         "card: name: expected at most 63 bytes but found 70", RAD_E_RANGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rad_card c;
        REFUSES(rad_card_from_json(&c, rows[i].text, &err), rows[i].status, rows[i].message);
        CU_ASSERT_EQUAL(c.n_layer, 0);
    }
}

/* A card whose shape was changed in C is checked before it is written. */
static void card_json_is_checked_on_writing(void)
{
    struct rad_card c;
    char *text = NULL;
    OK(rad_card_open(&c, "gpt2", &err));
    c.n_layer = 6;
    REFUSES(rad_card_to_json(&c, &text, &err), RAD_E_RANGE, "max_hops: expected n_layer 6");
    c.max_hops = 6;
    REFUSES(rad_card_to_json(&c, &text, &err), RAD_E_RANGE, "params_expected: ");
    c.params_expected = 0;
    c.n_head = 0;
    REFUSES(rad_card_to_json(&c, &text, &err), RAD_E_RANGE, "n_head: expected 1..4096 but found 0");
    CU_ASSERT_PTR_NULL(text);
}

CU_TestInfo card_tests[] = {
    {"cards have their published parameters", cards_have_their_published_parameters},
    {"json round trip", json_round_trip},
    {"card files fail with a place", card_files_fail_with_a_place},
    {"card json is refused in words", card_json_is_refused_in_words},
    {"card json is checked on writing", card_json_is_checked_on_writing},
    CU_TEST_INFO_NULL,
};
