/* test_train_plan.c - planned paths: which layers a base has, who takes one more, what is drawn. */
#include "test.h"
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>

static struct rad_train_spec spec;

/* Layers by worth: 0, 3, 2, 1. */
static struct trainer planned(void)
{
    struct trainer t = {.spec = &spec, .plan = {.level = {1, 4, 3, 2}, .extra = 1}};
    spec = (struct rad_train_spec){.steps = 100, .seed = 3};
    spec.router.price_min = 0.01, spec.router.price_max = 1.0;
    spec.router.half = 0.5, spec.router.full = 0.25, spec.router.extra = 0.4;
    spec.router.lead = 0.6;
    t.net.card.n_layer = 4;
    return t;
}

static void bases_are_nested_and_forward(void)
{
    const struct trainer t = planned();
    static const int32_t want[4][5] = {
        {0, RAD_EXIT}, {0, 3, RAD_EXIT}, {0, 2, 3, RAD_EXIT}, {0, 1, 2, 3, RAD_EXIT}};
    for (int32_t base = 1; base <= 4; base++) {
        int32_t last = -1;
        for (int32_t hop = 0; hop <= base; hop++) {
            last = rad_plan_next(&t, (struct rad_path){base, false}, hop, last);
            CU_ASSERT_EQUAL(last, want[base - 1][hop]);
        }
    }
}

/* Behind the base, whatever was visited; and a token that left the plan goes forward on it. */
static void hard_tokens_take_one_more(void)
{
    const struct trainer t = planned();
    const struct rad_path hard = {2, true};
    CU_ASSERT_EQUAL(rad_plan_next(&t, hard, 1, 0), 3);
    CU_ASSERT_EQUAL(rad_plan_next(&t, hard, 2, 3), 1);
    CU_ASSERT_EQUAL(rad_plan_next(&t, hard, 3, 1), RAD_EXIT);
    CU_ASSERT_EQUAL(rad_plan_next(&t, hard, 1, 2), 3);
    CU_ASSERT_EQUAL(rad_plan_next(&t, hard, 1, 3), RAD_EXIT);
}

static void aims_come_as_often_as_the_spec_says(void)
{
    struct trainer t = planned();
    enum { N = 20000 };
    int half = 0, full = 0;
    double extra = 0.0;
    for (t.step = 0; t.step < N; t.step++) {
        const struct rad_aim aim = rad_plan_aim(&t, 1);
        CU_ASSERT_FATAL(aim.base >= 2 && aim.base <= 4 && aim.extra >= 0.0 && aim.extra <= 0.4);
        CU_ASSERT(aim.base < 4 || aim.extra == 0.0);
        half += aim.base == 2, full += aim.base == 4;
        extra += aim.base == 2 ? aim.extra : 0.0;
    }
    NEAR((double)half / N, 0.75, 0.02); /* a quarter of 4 layers would be 1: the ends stay */
    NEAR((double)full / N, 0.25, 0.03);
    NEAR(extra / half, 0.4 * 2 / 3, 0.01);
}

static void the_hardest_share_is_taken(void)
{
    float gap[1000];
    for (int i = 0; i < 1000; i++)
        gap[i] = (float)(i * i);
    int taken = 0;
    for (int i = 0; i < 1000; i++)
        taken += gap[i] >= rad_plan_bar(gap, 1000, 0.25);
    CU_ASSERT_EQUAL(taken, 250);
    CU_ASSERT(gap[999] < rad_plan_bar(gap, 1000, 0.0));
    CU_ASSERT(gap[0] >= rad_plan_bar(gap, 1000, 1.0));
}

static void prices_fall_as_depth_grows(void)
{
    const struct trainer t = planned();
    for (double depth = 0.1; depth < 4.0; depth += 0.1)
        CU_ASSERT(rad_plan_price(&t, depth) < rad_plan_price(&t, depth - 0.1));
    NEAR(rad_plan_price(&t, 4.0), 0.01, 1e-12);
}

static void the_router_takes_over(void)
{
    struct trainer t = planned();
    int led[4] = {0};
    static const int64_t at[4] = {0, 59, 70, 85};
    for (int i = 0; i < 4; i++) {
        t.step = at[i];
        for (int32_t row = 0; row < 1000; row++)
            led[i] += rad_plan_leads(&t, row);
    }
    CU_ASSERT(led[0] == 1000 && led[1] == 1000);
    CU_ASSERT(abs(led[2] - 500) < 60); /* half way from 60 % of the run to 80 % */
    CU_ASSERT_EQUAL(led[3], 0);
}

CU_TestInfo train_plan_tests[] = {
    {"bases are nested and forward", bases_are_nested_and_forward},
    {"hard tokens take one more", hard_tokens_take_one_more},
    {"aims come as often as the spec says", aims_come_as_often_as_the_spec_says},
    {"the hardest share is taken", the_hardest_share_is_taken},
    {"prices fall as depth grows", prices_fall_as_depth_grows},
    {"the router takes over", the_router_takes_over},
    CU_TEST_INFO_NULL,
};
