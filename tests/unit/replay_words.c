/* replay_words.c - the words that tests of replay are written in. */
#include "replay_words.h"

#include "test.h"

#include <string.h>

rad_plan *plan_of(const struct rad_replay_input *in, const struct rad_replay_options *opt)
{
    rad_plan *plan = NULL;
    OK(rad_plan_build_from(&plan, in, opt, &err));
    return plan;
}

struct rad_plan_info info_of(const struct rad_replay_input *in,
                             const struct rad_replay_options *opt)
{
    rad_plan *plan = plan_of(in, opt);
    const struct rad_plan_info info = *rad_plan_info(plan);
    rad_plan_free(plan);
    return info;
}

struct rad_replay_result replay(const struct rad_replay_input *in,
                                const struct rad_replay_options *opt)
{
    struct rad_replay_result r;
    rad_hw *hw = NULL;
    rad_plan *plan = plan_of(in, opt);
    OK(rad_hw_open(&hw, WORDS_MACHINE, &err));
    OK(rad_replay_cost(plan, hw, &r, &err));
    rad_hw_close(hw);
    rad_plan_free(plan);
    return r;
}

void open_skips(struct made *m, bool has_router)
{
    const struct rad_card card = made_card();
    struct made_draw draw = {.seed = 11, .keep = 0.6, .n_layer = card.n_layer};
    const struct made_shape shape = {4, 5, 6, true, has_router};
    made_open(m, &card, &shape, made_skip, &draw);
}

void open_wander(struct made *m)
{
    const struct rad_card card = made_card();
    struct made_draw draw = {.seed = 12, .hops = 7, .n_layer = card.n_layer};
    const struct made_shape shape = {4, 5, 6, false, true};
    made_open(m, &card, &shape, made_wander, &draw);
}

double entry_bytes(enum rad_dtype dtype)
{
    const struct rad_card card = made_card();
    return 2.0 * card.n_kv * card.d_head * rad_dtype_bytes(dtype);
}

struct rad_card deeper_card(int32_t n_layer)
{
    struct rad_card card = made_card();
    card.n_layer = card.max_hops = n_layer;
    card.d_model = 128;
    card.d_head = 32;
    card.router_hidden = 0;
    strcpy(card.name, "deeper");
    return card;
}

void check_refused(const struct rad_replay_input *in, const struct rad_replay_options *opt,
                   enum rad_status status, const char *message)
{
    rad_plan *plan = NULL;
    CU_ASSERT_EQUAL(rad_plan_build_from(&plan, in, opt, &err), status);
    CU_ASSERT_STRING_EQUAL(err.msg, message);
    CU_ASSERT_PTR_NULL(plan);
}
