/* test_plot.c - the tables behind the pictures, and how plots fail. */
#include "plot/plot.h"

#include "base/io.h"
#include "refuse.h"
#include "store_make.h"
#include "sweep_make.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TMP "build/tmp/plot-"
#define DB TMP "r.db"
#define PICTURE TMP "p.svg"
#define TABLE TMP "p.tsv"

/* Eight points on two machines: 1, 2 and 3 are the frontier, 2 and 4 that of tpu-v4. Rows 7 and 8
 * would be the best of all, but have no quality of their own. */
static const struct made_point points[] = {
    {.x = 1, .y = 9},
    {.x = 2, .y = 5, .hw = "tpu-v4"},
    {.x = 50, .y = 1},
    {.x = 60, .y = 4, .hw = "tpu-v4"},
    {.x = 3, .y = 9},
    {.x = 2, .y = 6, .hw = "tpu-v4"},
    {.x = 0.1, .y = 0.1, .kv_recomputed = true},
    {.x = 0.1, .y = 0.1, .incomplete = true},
};

static void make_results(void)
{
    rad_store *store = made_store(DB);
    for (int i = 0; i < 8; i++)
        OK(made_put(store, i + 1, &points[i]));
    OK(rad_store_finish(store, &err));
}

static enum rad_status draw(const char *input, const char *kind, struct rad_plot_request request,
                            struct rad_plot_report *report)
{
    request.input = &input;
    request.n_input = 1;
    request.kind = kind;
    request.output = request.output != NULL ? request.output : PICTURE;
    return rad_plot_draw(&request, report, &err);
}

/* ---- the table ------------------------------------------------------------------------- */

enum { MAX_LINE = 64, MAX_FIELD = 16, FIELD = 64 };
struct table {
    char field[MAX_LINE][MAX_FIELD][FIELD];
    int n_line, n_field; /* lines below the header */
    char header[512];
};

static void read_table(struct table *t)
{
    char *text = NULL, *lines = NULL, *fields = NULL;
    int line = -1;
    OK(rad_file_read(TABLE, 1 << 20, &text, NULL, &err));
    memset(t, 0, sizeof *t);
    snprintf(t->header, sizeof t->header, "%.*s", (int)strcspn(text, "\n"), text);
    for (char *l = strtok_r(text, "\n", &lines); l != NULL; l = strtok_r(NULL, "\n", &lines)) {
        int n = 0;
        for (char *f = strtok_r(l, "\t", &fields); f != NULL && line >= 0;
             f = strtok_r(NULL, "\t", &fields))
            snprintf(t->field[line][n++], FIELD, "%s", f);
        t->n_field = n;
        line++;
        CU_ASSERT_FATAL(line < MAX_LINE);
    }
    t->n_line = line;
    free(text);
}

static double at(const struct table *t, int line, int field)
{
    return strtod(t->field[line][field], NULL);
}

static bool is_svg(const char *path)
{
    char *text = NULL;
    OK(rad_file_read(path, 1 << 24, &text, NULL, &err));
    const bool svg = strstr(text, "<svg") != NULL && strstr(text, "</svg>") != NULL;
    free(text);
    return svg;
}

/* ---- kinds ----------------------------------------------------------------------------- */

static void pareto_marks_the_frontier(void)
{
    struct rad_plot_report report;
    static struct table t;
    make_results();
    unlink(PICTURE);
    OK(draw(DB, "pareto", (struct rad_plot_request){0}, &report));
    CU_ASSERT_EQUAL(report.rows, 6);
    CU_ASSERT(is_svg(PICTURE) && access(TMP "p.gp", R_OK) == 0);
    read_table(&t);
    CU_ASSERT_STRING_EQUAL(t.header, "usd_per_mtok\tnll\tcolor_id\tshape_id\tfrontier\t"
                                     "color_frontier\tlabel\tcolor\tpolicy_name\tpolicy\thw\tcard\t"
                                     "dtype\tbatch\tdepth_frac");
    CU_ASSERT_EQUAL_FATAL(t.n_line, 6);
    /* by price: 1, 2, 6, 5, 3, 4 */
    static const double x[] = {1, 2, 2, 3, 50, 60}, y[] = {9, 5, 6, 9, 1, 4};
    static const int frontier[] = {1, 1, 0, 0, 1, 0}, of_hw[] = {1, 1, 0, 0, 1, 1};
    for (int i = 0; i < 6; i++) {
        CU_ASSERT(at(&t, i, 0) == x[i] && at(&t, i, 1) == y[i]);
        CU_ASSERT_EQUAL((int)at(&t, i, 4), frontier[i]);
        CU_ASSERT_EQUAL((int)at(&t, i, 5), of_hw[i]);
        CU_ASSERT_STRING_EQUAL(t.field[i][7], x[i] == 2 || x[i] == 60 ? "tpu-v4" : "a100-sxm-80gb");
        CU_ASSERT_EQUAL(at(&t, i, 2), at(&t, t.field[i][7][0] == 't' ? 1 : 0, 2));
    }
}

static void where_and_columns_choose(void)
{
    struct rad_plot_report report;
    static struct table t;
    make_results();
    OK(draw(DB, "pareto",
            (struct rad_plot_request){.x = "speedup",
                                      .y = "j_per_token",
                                      .color = "batch",
                                      .where = "usd_per_mtok < 10 -- cheap"},
            &report));
    CU_ASSERT_EQUAL(report.rows, 5); /* without nll, recomputed rows count too */
    read_table(&t);
    CU_ASSERT_EQUAL(strncmp(t.header, "speedup\tj_per_token\t", 20), 0);
    REFUSES(draw(DB, "pareto", (struct rad_plot_request){.where = "hw = 'nothing'"}, &report),
            RAD_E_RANGE, "where the condition holds");
    REFUSES(draw(DB, "pareto", (struct rad_plot_request){.where = "hw ="}, &report), RAD_E_DB,
            "syntax error");
    REFUSES(draw(DB, "heatmap", (struct rad_plot_request){.where = "1); DELETE FROM result; --"},
                 &report),
            RAD_E_DB, "");
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM result"), 8);
}

static void heatmap_means(void)
{
    struct rad_plot_report report;
    static struct table t;
    make_results();
    OK(draw(DB, "heatmap",
            (struct rad_plot_request){.x = "dtype", .y = "hw", .color = "usd_per_mtok"}, &report));
    read_table(&t);
    CU_ASSERT_STRING_EQUAL(t.header, "x_id\ty_id\tusd_per_mtok\tn\tdark\tdtype\thw");
    CU_ASSERT_EQUAL_FATAL(t.n_line, 2);
    CU_ASSERT_STRING_EQUAL(t.field[0][6], "a100-sxm-80gb");
    NEAR(at(&t, 0, 2), (1 + 50 + 3 + 0.1 + 0.1) / 5, 1e-9);
    NEAR(at(&t, 1, 2), (2 + 60 + 2) / 3.0, 1e-9);
    CU_ASSERT(at(&t, 0, 3) == 5 && at(&t, 1, 3) == 3);
    CU_ASSERT(is_svg(PICTURE));
}

/* 48 tokens that run 2 of 4 layers each: positions 0, 4, 8 run layers 0 and 1, and so on. */
static void depth_counts_visits(void)
{
    struct rad_plot_report report;
    static struct table t;
    double visits[2][4] = {{0}}, tokens = 0;
    made_file(TMP "t.db", &(struct made_file){.policy = "skip:frac=0.5", .keep = 2});
    OK(draw(TMP "t.db", "depth", (struct rad_plot_request){0}, &report));
    CU_ASSERT_EQUAL(report.rows, 48);
    read_table(&t);
    CU_ASSERT_STRING_EQUAL(t.header, "part\ttrace_id\tdepth\thop\tlayer\ttoken_frac\tpolicy");
    for (int i = 0; i < t.n_line; i++) {
        CU_ASSERT_STRING_EQUAL(t.field[i][6], "skip:frac=0.5");
        if (at(&t, i, 0) == 0) {
            CU_ASSERT_EQUAL(at(&t, i, 2), 2);
            tokens += at(&t, i, 5);
        } else {
            visits[(int)at(&t, i, 3) - 1][(int)at(&t, i, 4)] = at(&t, i, 5);
        }
    }
    CU_ASSERT_EQUAL(tokens, 1);
    static const double expected[2][4] = {{0.5, 0.25, 0.25, 0}, {0, 0.25, 0.25, 0.5}};
    for (int hop = 0; hop < 2; hop++)
        for (int layer = 0; layer < 4; layer++)
            CU_ASSERT_EQUAL(visits[hop][layer], expected[hop][layer]);
    OK(draw(DB, "depth", (struct rad_plot_request){.where = "policy = 'dense'"}, &report));
    CU_ASSERT_EQUAL(report.rows, 48); /* the trace that the results database names */
}

static void residual_boxes(void)
{
    struct rad_plot_report report;
    static struct table t;
    made_file(TMP "s.db", &(struct made_file){.stats = true});
    OK(draw(TMP "s.db", "residual", (struct rad_plot_request){0}, &report));
    read_table(&t);
    CU_ASSERT_STRING_EQUAL(t.header, "x\tsublayer_id\tp10\tp25\tp50\tp75\tp90\tn\tsublayer\tmodel");
    CU_ASSERT_EQUAL_FATAL(t.n_line, 8);
    for (int i = 0; i < 8; i++) {
        NEAR(at(&t, i, 4), (i % 2 == 0 ? 1.0 : 0.5) / (i / 2 + 1), 1e-6);
        CU_ASSERT(at(&t, i, 2) == at(&t, i, 6) && at(&t, i, 7) == 48);
    }
    OK(draw(TMP "s.db", "residual", (struct rad_plot_request){.y = "ratio_out"}, &report));
    read_table(&t);
    NEAR(at(&t, 0, 4), sqrt(4 / 8.0), 1e-6); /* a = 4, b = 4, c = 0 */
    /* Of two traces: attention and MLP of each, all layers together. */
    const char *const both[] = {TMP "s.db", TMP "s2.db"};
    const struct rad_plot_request two = {
        .input = both, .n_input = 2, .kind = "residual", .output = PICTURE};
    made_file(TMP "s2.db", &(struct made_file){.stats = true, .policy = "uls"});
    OK(rad_plot_draw(&two, &report, &err));
    read_table(&t);
    CU_ASSERT_EQUAL_FATAL(t.n_line, 4);
    NEAR(at(&t, 2, 4), (1.0 / 2 + 1.0 / 3) / 2, 1e-6); /* the median of 1, 1/2, 1/3, 1/4 */
    CU_ASSERT(at(&t, 3, 0) == 1 && at(&t, 3, 1) == 1 && at(&t, 3, 7) == 4 * 48);
    made_file(TMP "t.db", &(struct made_file){0});
    REFUSES(draw(TMP "t.db", "residual", (struct rad_plot_request){0}, &report), RAD_E_RANGE,
            "no residual statistics");
}

/* ---- refusals -------------------------------------------------------------------------- */

static void bad_requests_are_refused(void)
{
    struct rad_plot_report report;
    struct rad_plot_request r = {0};
    make_results();
    REFUSES(draw(DB, "paretto", r, &report), RAD_E_ARG, "did you mean 'pareto'");
    REFUSES(draw(DB, "depth", (struct rad_plot_request){.x = "hw"}, &report), RAD_E_ARG,
            "plot 'depth' has no option --x");
    REFUSES(draw(DB, "pareto", (struct rad_plot_request){.x = "usd_per_tok"}, &report), RAD_E_ARG,
            "did you mean 'usd_per_mtok'");
    REFUSES(draw(DB, "pareto", (struct rad_plot_request){.y = "\" FROM x --"}, &report), RAD_E_ARG,
            "no column");
    REFUSES(draw(DB, "residual", (struct rad_plot_request){.y = "ratio"}, &report), RAD_E_ARG,
            "ratio_in or ratio_out");
    REFUSES(draw(DB, "pareto", (struct rad_plot_request){.output = TMP "p.pdf"}, &report),
            RAD_E_ARG, "ending in .svg or .png");
    REFUSES(draw(DB, "pareto", (struct rad_plot_request){.output = "build/tmp/.svg"}, &report),
            RAD_E_ARG, "ending in");
    REFUSES(draw(MADE_TRACE, "pareto", r, &report), RAD_E_PARSE, "expected a results database");
    REFUSES(draw(MADE_TRACE, "depth", (struct rad_plot_request){.where = "1"}, &report), RAD_E_ARG,
            "is a trace");
    REFUSES(draw(TMP "none.db", "pareto", r, &report), RAD_E_IO, "cannot open");
}

/* Without gnuplot the table and the script are there, but no picture, whole or half. */
static void gnuplot_may_be_missing(void)
{
    struct rad_plot_report report;
    const char *path = getenv("PATH");
    char *kept = strdup(path != NULL ? path : "");
    make_results();
    unlink(PICTURE);
    CU_ASSERT_EQUAL_FATAL(setenv("PATH", "/nowhere", 1), 0);
    const enum rad_status status = draw(DB, "pareto", (struct rad_plot_request){0}, &report);
    CU_ASSERT_EQUAL_FATAL(setenv("PATH", kept, 1), 0);
    free(kept);
    CU_ASSERT_EQUAL(status, RAD_E_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, "gnuplot is not installed"));
    CU_ASSERT(access(PICTURE, F_OK) != 0 && access(PICTURE ".part", F_OK) != 0);
}

/* What gnuplot says reaches the message: here that a title could not be drawn is not possible, so
 * its output is a folder. */
static void gnuplot_may_fail(void)
{
    struct rad_plot_report report;
    make_results();
    OK(rad_dir_make(TMP "q.svg.part", &err));
    REFUSES(draw(DB, "pareto", (struct rad_plot_request){.output = TMP "q.svg"}, &report), RAD_E_IO,
            "gnuplot failed");
    CU_ASSERT(access(TMP "q.svg", F_OK) != 0);
    rmdir(TMP "q.svg.part");
}

/* Texts of users and files end up in the script as texts, whatever is in them. */
static void titles_are_only_text(void)
{
    struct rad_plot_report report;
    make_results();
    unlink("build/tmp/hacked");
    OK(draw(DB, "pareto",
            (struct rad_plot_request){
                .title = "it's _x_; ' ; system('touch hacked') # \"`touch hacked`"},
            &report));
    CU_ASSERT(is_svg(PICTURE));
    CU_ASSERT(access("build/tmp/hacked", F_OK) != 0);
}

CU_TestInfo plot_tests[] = {
    {"pareto marks the frontier", pareto_marks_the_frontier},
    {"where and columns choose", where_and_columns_choose},
    {"heatmap means", heatmap_means},
    {"depth counts visits", depth_counts_visits},
    {"residual boxes", residual_boxes},
    {"bad requests are refused", bad_requests_are_refused},
    {"gnuplot may be missing", gnuplot_may_be_missing},
    {"gnuplot may fail", gnuplot_may_fail},
    {"titles are only text", titles_are_only_text},
    CU_TEST_INFO_NULL,
};
