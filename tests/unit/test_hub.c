/* test_hub.c - what a model argument means: folders, GGUF files, names in the cache of the hub. */
#include "base/io.h"
#include "checkpoint/checkpoint.h"
#include "refuse.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOT "build/tmp/hub"
#define CACHE ROOT "/cache"
#define MODEL CACHE "/models--some-org--Tiny_1.5"
#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define SNAPSHOT MODEL "/snapshots/" COMMIT

static const char config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 8, \"num_hidden_layers\": 1, "
    "\"num_attention_heads\": 2, \"intermediate_size\": 8, \"vocab_size\": 256, "
    "\"max_position_embeddings\": 16, \"rms_norm_eps\": 1e-5, \"hidden_act\": \"silu\", "
    "\"tie_word_embeddings\": true}";

/* A snapshot whose config.json is a link to a blob, as the hub's own client leaves it. */
static void fresh(void)
{
    CU_ASSERT_EQUAL_FATAL(system("rm -rf " ROOT), 0);
    OK(rad_dir_make(SNAPSHOT, &err));
    OK(rad_dir_make(MODEL "/refs", &err));
    OK(rad_dir_make(MODEL "/blobs", &err));
    write_file(MODEL "/refs/main", COMMIT);
    write_file(MODEL "/blobs/abc", config);
    CU_ASSERT_EQUAL(symlink("../../blobs/abc", SNAPSHOT "/config.json"), 0);
    unsetenv("HF_HUB_CACHE");
    unsetenv("HF_HOME");
}

static void finds(const char *model, const char *path)
{
    char out[RAD_PATH_MAX];
    OK(rad_model_find(out, model, &err));
    CU_ASSERT_STRING_EQUAL(out, path);
}

static void refuses(const char *model, enum rad_status status, const char *text)
{
    char out[RAD_PATH_MAX];
    REFUSES(rad_model_find(out, model, &err), status, text);
}

static void folders_and_files_are_themselves(void)
{
    fresh();
    write_file(ROOT "/a.gguf", "x");
    finds(ROOT, ROOT "/a.gguf"); /* the only one */
    finds(ROOT "/a.gguf", ROOT "/a.gguf");
    finds(CACHE, CACHE);
    finds(CACHE "/", CACHE "/");
}

static void a_snapshot_is_found_by_its_folder(void)
{
    struct rad_model_config c;
    fresh();
    finds(MODEL, SNAPSHOT);
    write_file(MODEL "/refs/main", COMMIT "\n");
    finds(MODEL "/", MODEL "//snapshots/" COMMIT);
    OK(rad_model_config_open(&c, SNAPSHOT, &err));
    CU_ASSERT_STRING_EQUAL(c.card.name, "some-org--Tiny_1.5");
    CU_ASSERT_EQUAL(c.card.d_model, 8);
}

static void names_are_looked_up_in_the_cache(void)
{
    char home[1200];
    fresh();
    setenv("HF_HUB_CACHE", CACHE, 1);
    finds("some-org/Tiny_1.5", CACHE "/models--some-org--Tiny_1.5/snapshots/" COMMIT);
    unsetenv("HF_HUB_CACHE");
    OK(rad_dir_make(ROOT "/home", &err));
    CU_ASSERT_EQUAL(symlink("../cache", ROOT "/home/hub"), 0);
    setenv("HF_HOME", ROOT "/home", 1);
    finds("some-org/Tiny_1.5", ROOT "/home/hub/models--some-org--Tiny_1.5/snapshots/" COMMIT);
    unsetenv("HF_HOME");
    OK(rad_dir_make(ROOT "/.cache/huggingface", &err));
    CU_ASSERT_EQUAL(symlink("../../cache", ROOT "/.cache/huggingface/hub"), 0);
    snprintf(home, sizeof home, "%s", getenv("HOME") != NULL ? getenv("HOME") : "");
    setenv("HOME", ROOT, 1);
    finds("some-org/Tiny_1.5",
          ROOT "/.cache/huggingface/hub/models--some-org--Tiny_1.5/snapshots/" COMMIT);
    setenv("HOME", home, 1);
}

/* A folder that is there comes before a name in the cache. */
static void a_folder_comes_before_the_cache(void)
{
    fresh();
    setenv("HF_HUB_CACHE", CACHE, 1);
    finds("tests/unit", "tests/unit");
    unsetenv("HF_HUB_CACHE");
}

static void names_not_in_the_cache_say_where_was_looked(void)
{
    fresh();
    setenv("HF_HUB_CACHE", CACHE, 1);
    refuses("some-org/other", RAD_E_IO,
            "some-org/other: no such folder, and models--some-org--other is not in the cache " CACHE
            " (HF_HUB_CACHE); download it first");
    unsetenv("HF_HUB_CACHE");
    setenv("HF_HOME", ROOT, 1);
    refuses("some-org/other", RAD_E_IO, ROOT "/hub (HF_HOME)");
    unsetenv("HF_HOME");
    refuses("some-org/other", RAD_E_IO,
            ".cache/huggingface/hub (HF_HUB_CACHE and HF_HOME are not set)");
}

static void names_are_never_paths(void)
{
    static const char *const bad[] = {"../models--some-org--Tiny_1.5",
                                      "some-org/..",
                                      "a/../b",
                                      "/x",
                                      "x/",
                                      "some-org/a/b",
                                      "-x/y",
                                      "x/.y",
                                      "x/a..b",
                                      "x/a--b",
                                      "x/a b",
                                      "x/\xc3\xa4",
                                      "x/a%b",
                                      "nothing"};
    fresh();
    setenv("HF_HUB_CACHE", CACHE, 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuses(bad[i], RAD_E_IO, "expected a folder, a .gguf file or ORG/NAME");
    unsetenv("HF_HUB_CACHE");
}

static void broken_caches_are_refused(void)
{
    static const char *const bad[] = {"",    "..",       "../../../etc",
                                      "a/b", "\x1b[31m", COMMIT COMMIT "0"};
    fresh();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_file(MODEL "/refs/main", bad[i]);
        refuses(MODEL, RAD_E_PARSE, "refs/main: expected the name of a snapshot");
    }
    write_file(MODEL "/refs/main", "fedcba");
    refuses(MODEL, RAD_E_IO, "refs/main names fedcba, but there is no such snapshot");
    remove(MODEL "/refs/main");
    refuses(MODEL, RAD_E_IO, "refs/main");
}

static void several_gguf_files_are_refused(void)
{
    fresh();
    write_file(CACHE "/a.gguf", "x");
    write_file(CACHE "/b.gguf", "x");
    refuses(CACHE, RAD_E_ARG, CACHE ": has 2 .gguf files; give the path of one");
    write_file(CACHE "/model.safetensors", "x");
    finds(CACHE, CACHE); /* other weights come first */
    remove(CACHE "/model.safetensors");
    write_file(CACHE "/pytorch_model.bin.index.json", "x");
    finds(CACHE, CACHE);
    remove(CACHE "/b.gguf");
    finds(CACHE, CACHE);
}

static void long_paths_are_refused(void)
{
    char longest[RAD_PATH_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[RAD_PATH_MAX] = '\0';
    refuses(longest, RAD_E_ARG, "expected a path of 1 to 4095 bytes");
    refuses("", RAD_E_ARG, "expected a path of 1 to 4095 bytes");
}

CU_TestInfo hub_tests[] = {
    {"folders and files are themselves", folders_and_files_are_themselves},
    {"a snapshot is found by its folder", a_snapshot_is_found_by_its_folder},
    {"names are looked up in the cache", names_are_looked_up_in_the_cache},
    {"a folder comes before the cache", a_folder_comes_before_the_cache},
    {"names not in the cache say where was looked", names_not_in_the_cache_say_where_was_looked},
    {"names are never paths", names_are_never_paths},
    {"broken caches are refused", broken_caches_are_refused},
    {"several .gguf files are refused", several_gguf_files_are_refused},
    {"long paths are refused", long_paths_are_refused},
    CU_TEST_INFO_NULL,
};
