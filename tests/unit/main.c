/* main.c - runs every suite: tests/<folder>/test_<name>.c exports CU_TestInfo <name>_tests[].
 *
 * The Makefile lists the files that are there in build/.../suites.def, so that a new test file is
 * no edit elsewhere. usage: unit [PART...] runs the suites whose name contains one of the parts. */
#include "test.h"

#include <CUnit/Basic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct rad_err err;

void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
        perror(path);
        abort();
    }
}

#define SUITE(name) extern CU_TestInfo name##_tests[];
#include "suites.def"
#undef SUITE

static CU_SuiteInfo suites[] = {
#define SUITE(name) {.pName = #name, .pTests = name##_tests},
#include "suites.def"
#undef SUITE
    CU_SUITE_INFO_NULL,
};

static bool wanted(const char *suite, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strstr(suite, argv[i]) != NULL)
            return true;
    return argc == 1;
}

/* Move the wanted suites to the front of the table and end it there; returns how many. */
static int keep_wanted(int argc, char **argv)
{
    int kept = 0;
    for (const CU_SuiteInfo *suite = suites; suite->pName != NULL; suite++)
        if (wanted(suite->pName, argc, argv))
            suites[kept++] = *suite;
    suites[kept] = (CU_SuiteInfo)CU_SUITE_INFO_NULL;
    return kept;
}

/* The line that tests/run.sh adds up. A suite that could not start is a failure too. */
static int report(void)
{
    const CU_RunSummary *run = CU_get_run_summary();
    const unsigned failed = run->nTestsFailed + run->nSuitesFailed;
    printf("\nunit: %u passed, %u failed\n", run->nTestsRun - run->nTestsFailed, failed);
    return failed == 0 && run->nTestsRun > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    mkdir("build", 0777); /* scratch of all tests; there already if make started us */
    mkdir("build/tmp", 0777);
    if (keep_wanted(argc, argv) == 0) {
        fprintf(stderr, "unit: no suite is called like that\n");
        return EXIT_FAILURE;
    }
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS) {
        fprintf(stderr, "unit: %s\n", CU_get_error_msg());
        return EXIT_FAILURE;
    }
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    const int status = report();
    CU_cleanup_registry();
    return status;
}
