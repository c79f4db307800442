/* test_image.c - pictures: decoding and resampling against Pillow 9.4, normalisation, refusals. */
#include "base/io.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/image_file.h"
#include "refuse.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define DIR "build/tmp/image"

/* Made by Pillow: Image.save, and Image.resize with resample 2 and 3. */
static const unsigned char png_7x5[] = {
    137, 80,  78,  71,  13,  10,  26,  10,  0,   0,   0,   13,  73,  72,  68,  82,  0,   0,
    0,   7,   0,   0,   0,   5,   8,   2,   0,   0,   0,   6,   248, 97,  143, 0,   0,   0,
    121, 73,  68,  65,  84,  120, 218, 1,   110, 0,   145, 255, 1,   140, 180, 74,  246, 47,
    154, 158, 81,  41,  80,  211, 103, 53,  64,  56,  241, 191, 226, 172, 99,  186, 3,   106,
    22,  3,   241, 29,  200, 227, 229, 193, 164, 119, 53,  9,   231, 78,  240, 91,  10,  197,
    236, 37,  2,   148, 218, 76,  81,  207, 250, 14,  17,  70,  59,  216, 48,  164, 252, 157,
    24,  34,  83,  38,  67,  223, 0,   146, 83,  113, 15,  61,  247, 58,  176, 165, 184, 121,
    152, 17,  18,  50,  38,  25,  32,  141, 47,  242, 3,   100, 96,  124, 229, 137, 0,   123,
    172, 25,  5,   47,  50,  58,  0,   255, 207, 245, 99,  105, 200, 3,   242, 88,  48,  97,
    38,  248, 156, 53,  0,   0,   0,   0,   73,  69,  78,  68,  174, 66,  96,  130};
static const unsigned char jpeg_8x8[] = {
    255, 216, 255, 224, 0,   16, 74,  70,  73,  70,  0,   1,   1,   0,  0,  1,   0,   1,   0,   0,
    255, 219, 0,   67,  0,   13, 9,   10,  11,  10,  8,   13,  11,  10, 11, 14,  14,  13,  15,  19,
    32,  21,  19,  18,  18,  19, 39,  28,  30,  23,  32,  46,  41,  49, 48, 46,  41,  45,  44,  51,
    58,  74,  62,  51,  54,  70, 55,  44,  45,  64,  87,  65,  70,  76, 78, 82,  83,  82,  50,  62,
    90,  97,  90,  80,  96,  74, 81,  82,  79,  255, 219, 0,   67,  1,  14, 14,  14,  19,  17,  19,
    38,  21,  21,  38,  79,  53, 45,  53,  79,  79,  79,  79,  79,  79, 79, 79,  79,  79,  79,  79,
    79,  79,  79,  79,  79,  79, 79,  79,  79,  79,  79,  79,  79,  79, 79, 79,  79,  79,  79,  79,
    79,  79,  79,  79,  79,  79, 79,  79,  79,  79,  79,  79,  79,  79, 79, 79,  79,  79,  255, 192,
    0,   17,  8,   0,   8,   0,  8,   3,   1,   17,  0,   2,   17,  1,  3,  17,  1,   255, 196, 0,
    20,  0,   1,   0,   0,   0,  0,   0,   0,   0,   0,   0,   0,   0,  0,  0,   0,   0,   5,   255,
    196, 0,   27,  16,  0,   0,  7,   1,   0,   0,   0,   0,   0,   0,  0,  0,   0,   0,   0,   0,
    0,   4,   5,   35,  51,  65, 81,  113, 255, 196, 0,   21,  1,   1,  1,  0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,  0,   0,   0,   3,   5,   255, 196, 0,  26, 17,  0,   2,   3,   1,
    1,   0,   0,   0,   0,   0,  0,   0,   0,   0,   0,   0,   4,   17, 0,  18,  33,  19,  81,  255,
    218, 0,   12,  3,   1,   0,  2,   17,  3,   17,  0,   63,  0,   81, 56, 228, 141, 229, 244, 77,
    28,  158, 47,  27,  130, 96, 181, 174, 251, 63,  255, 217};
static const unsigned char jpeg_rgb[] = {
    139, 176, 99,  121, 186, 70,  158, 178, 65,  145, 169, 95,  127, 236, 204, 115, 228, 236,
    150, 220, 230, 131, 230, 201, 136, 180, 85,  118, 188, 63,  152, 179, 64,  140, 170, 100,
    121, 238, 212, 108, 227, 247, 144, 219, 250, 125, 228, 225, 146, 183, 77,  128, 191, 61,
    162, 182, 71,  147, 172, 104, 127, 242, 211, 113, 233, 247, 147, 223, 255, 128, 231, 240,
    158, 164, 68,  138, 171, 56,  171, 163, 65,  155, 156, 86,  133, 231, 174, 118, 225, 197,
    152, 215, 204, 132, 223, 192, 164, 126, 53,  144, 133, 43,  174, 125, 46,  158, 124, 50,
    135, 205, 109, 118, 203, 112, 149, 196, 115, 129, 203, 106, 176, 107, 42,  155, 113, 39,
    185, 106, 40,  167, 108, 30,  142, 193, 72,  123, 195, 61,  153, 189, 63,  132, 196, 60,
    186, 110, 34,  164, 115, 38,  194, 108, 47,  174, 110, 36,  147, 198, 71,  128, 201, 60,
    157, 193, 71,  136, 198, 73,  183, 114, 19,  162, 118, 31,  189, 109, 46,  170, 111, 41,
    143, 198, 79,  121, 200, 72,  151, 192, 90,  129, 196, 99};
static const unsigned char bilinear_3[] = {122, 161, 115, 141, 85,  136, 129, 82,  108,
                                           119, 117, 109, 112, 120, 109, 125, 120, 124,
                                           105, 140, 193, 136, 121, 172, 103, 87,  154};
static const unsigned char bicubic_3[] = {122, 167, 112, 143, 79,  138, 132, 84,  107,
                                          119, 113, 105, 109, 122, 107, 126, 121, 121,
                                          105, 143, 198, 134, 119, 168, 102, 85,  156};
static const unsigned char bilinear_9[] = {
    140, 180, 74,  133, 211, 177, 86,  149, 132, 50,  42,  36,  112, 7,   116, 153, 57,  160, 157,
    35,  155, 122, 39,  119, 66,  105, 72,  152, 157, 63,  139, 197, 140, 91,  151, 138, 66,  66,
    103, 157, 62,  154, 176, 76,  130, 167, 64,  124, 125, 69,  113, 63,  104, 88,  172, 120, 44,
    149, 174, 77,  100, 153, 147, 94,  106, 214, 233, 153, 217, 214, 107, 79,  185, 112, 71,  129,
    119, 103, 58,  103, 114, 128, 95,  74,  159, 149, 75,  125, 145, 111, 84,  116, 151, 160, 153,
    138, 171, 108, 103, 176, 130, 113, 142, 149, 121, 74,  133, 104, 68,  74,  116, 169, 124, 87,
    153, 134, 63,  66,  119, 45,  51,  131, 22,  107, 101, 145, 160, 139, 177, 158, 174, 145, 95,
    170, 86,  111, 79,  114, 108, 93,  151, 87,  122, 145, 77,  144, 110, 125, 125, 94,  78,  68,
    105, 87,  74,  101, 110, 95,  121, 121, 102, 173, 149, 89,  120, 64,  83,  202, 43,  120, 211,
    97,  160, 168, 185, 126, 161, 67,  49,  83,  37,  27,  54,  75,  41,  112, 148, 69,  239, 164,
    119, 158, 88,  158, 202, 91,  161, 212, 153, 143, 199, 187, 152, 206, 129, 87,  132, 76,  53,
    123, 91,  87,  164, 180, 180, 225, 173, 137, 180, 102, 203, 202, 119, 185, 213, 186, 132, 218,
    189, 168, 233, 167, 110, 161, 99,  68,  165, 100, 114, 195, 200, 247, 216};
static const unsigned char bicubic_9[] = {
    137, 184, 69,  139, 228, 205, 82,  157, 139, 34,  25,  0,   101, 0,   107, 152, 59,  175, 163,
    24,  172, 122, 25,  118, 63,  111, 65,  155, 160, 56,  144, 213, 154, 82,  158, 146, 52,  51,
    87,  156, 54,  155, 182, 76,  132, 173, 55,  127, 122, 59,  113, 58,  105, 84,  180, 115, 37,
    154, 183, 63,  86,  158, 153, 83,  99,  242, 246, 160, 230, 228, 104, 58,  192, 113, 52,  125,
    123, 105, 51,  99,  118, 125, 86,  71,  175, 156, 52,  131, 151, 104, 74,  112, 171, 165, 166,
    141, 183, 107, 93,  195, 141, 112, 148, 168, 125, 65,  137, 98,  61,  70,  118, 181, 127, 88,
    166, 139, 62,  55,  116, 42,  51,  131, 22,  106, 93,  152, 172, 138, 192, 164, 180, 146, 91,
    170, 82,  105, 73,  111, 107, 76,  160, 80,  117, 149, 64,  154, 93,  116, 120, 79,  57,  53,
    104, 75,  67,  92,  113, 94,  114, 120, 90,  179, 158, 88,  112, 51,  69,  215, 19,  117, 228,
    96,  175, 169, 190, 124, 164, 54,  37,  72,  12,  12,  23,  70,  32,  104, 153, 59,  255, 174,
    119, 158, 78,  168, 208, 80,  168, 222, 165, 140, 206, 192, 155, 215, 136, 87,  128, 60,  36,
    114, 82,  83,  169, 192, 194, 233, 180, 136, 184, 96,  224, 201, 117, 197, 214, 203, 120, 224,
    189, 172, 240, 183, 116, 161, 92,  53,  169, 91,  115, 206, 212, 255, 214};

static void put(const char *name, const void *data, size_t n)
{
    OK(rad_dir_make(DIR, &err));
    OK(rad_file_write(name, data, n, &err));
}

static void put_config(const char *text)
{
    put(DIR "/preprocessor_config.json", text, strlen(text));
}

static void pictures_are_resized_as_pillow_does(void)
{
    static const struct {
        int32_t side;
        int filter;
        const unsigned char *want;
    } rows[] = {{3, RAD_FILTER_BILINEAR, bilinear_3},
                {3, RAD_FILTER_BICUBIC, bicubic_3},
                {9, RAD_FILTER_BILINEAR, bilinear_9},
                {9, RAD_FILTER_BICUBIC, bicubic_9}};
    for (size_t i = 0; i < 4; i++) {
        struct rad_picture p;
        OK(rad_picture_read(&p, png_7x5, sizeof png_7x5, "a.png", &err));
        CU_ASSERT(p.width == 7 && p.height == 5);
        OK(rad_picture_resize(&p, rows[i].side, rows[i].filter, &err));
        const size_t n = 3 * (size_t)(rows[i].side * rows[i].side);
        CU_ASSERT_EQUAL(memcmp(p.rgb, rows[i].want, n), 0);
        free(p.rgb);
    }
}

static void jpeg_pixels_are_those_of_pillow(void)
{
    struct rad_picture p;
    int worst = 0;
    OK(rad_picture_read(&p, jpeg_8x8, sizeof jpeg_8x8, "a.jpg", &err));
    CU_ASSERT_FATAL(p.width == 8 && p.height == 8);
    for (size_t i = 0; i < sizeof jpeg_rgb; i++)
        worst = abs(p.rgb[i] - jpeg_rgb[i]) > worst ? abs(p.rgb[i] - jpeg_rgb[i]) : worst;
    CU_ASSERT(worst <= 2); /* other builds of libjpeg may round otherwise */
    free(p.rgb);
}

static void pixels_are_normalised_as_the_config_says(void)
{
    float *x = NULL;
    put(DIR "/a.png", png_7x5, sizeof png_7x5);
    put_config("{\"size\": 3, \"image_mean\": [0.5, 0.25, 0], \"image_std\": [0.5, 1, 2]}");
    OK(rad_image_open(&x, DIR "/a.png", DIR, 3, &err));
    for (size_t i = 0; i < 9; i++) {
        CU_ASSERT(fabs((double)x[i] - (bilinear_3[3 * i] / 255.0 - 0.5) / 0.5) < 1e-6);
        CU_ASSERT(fabs((double)x[9 + i] - (bilinear_3[3 * i + 1] / 255.0 - 0.25)) < 1e-6);
        CU_ASSERT(fabs((double)x[18 + i] - bilinear_3[3 * i + 2] / 255.0 / 2.0) < 1e-6);
    }
    free(x);
    put_config("{\"do_normalize\": false, \"do_rescale\": false, \"resample\": 3}");
    OK(rad_image_open(&x, DIR "/a.png", DIR, 9, &err));
    CU_ASSERT_EQUAL(x[80], (float)bicubic_9[240]);
    free(x);
}

static const struct {
    const char *config;
    int32_t side;
    enum rad_status status;
    const char *message;
} bad_configs[] = {
    {"{\"size\": 4}", 3, RAD_E_RANGE, "'size': expected the 3 x 3 of the model but found 4 x 4"},
    {"{\"size\": {\"shortest_edge\": 3}}", 3, RAD_E_PARSE, "'height'"},
    {"{\"resample\": 1}", 3, RAD_E_UNSUPPORTED, "expected 2 (bilinear) or 3 (bicubic)"},
    {"{\"do_center_crop\": true}", 3, RAD_E_UNSUPPORTED, "'do_center_crop'"},
    {"{\"image_std\": [0, 1, 1]}", 3, RAD_E_RANGE, "'image_std': expected three numbers"},
    {"{\"image_mean\": [0.5]}", 3, RAD_E_RANGE, "'image_mean': expected three numbers"},
    {"{\"do_resize\": false}", 3, RAD_E_RANGE, "expected 3 x 3 pixels but found 7 x 5"},
    {"[]", 3, RAD_E_PARSE, "preprocessor_config.json"},
    {"{", 3, RAD_E_PARSE, "preprocessor_config.json"},
};

static void bad_preparations_are_refused(void)
{
    float *x = NULL;
    put(DIR "/a.png", png_7x5, sizeof png_7x5);
    for (size_t i = 0; i < sizeof bad_configs / sizeof bad_configs[0]; i++) {
        put_config(bad_configs[i].config);
        REFUSES(rad_image_open(&x, DIR "/a.png", DIR, bad_configs[i].side, &err),
                bad_configs[i].status, bad_configs[i].message);
        CU_ASSERT_PTR_NULL(x);
    }
    REFUSES(rad_image_open(&x, DIR "/a.png", DIR "/nowhere", 3, &err), RAD_E_IO, "nowhere");
}

/* Cut anywhere, and with any byte changed: an error or a picture, and never more than that. */
static void damaged_pictures_are_refused(void)
{
    unsigned char bad[512];
    struct rad_picture p;
    for (size_t n = 0; n + 12 < sizeof png_7x5; n++) /* without IEND it may pass */
        if (rad_picture_read(&p, png_7x5, n, "cut.png", &err) == RAD_OK)
            free(p.rgb);
    REFUSES(rad_picture_read(&p, png_7x5, 60, "cut.png", &err), RAD_E_PARSE,
            "cut.png: damaged PNG");
    REFUSES(rad_picture_read(&p, jpeg_8x8, 100, "cut.jpg", &err), RAD_E_PARSE,
            "cut.jpg: damaged JPEG");
    for (size_t i = 0; i < sizeof jpeg_8x8; i++) {
        memcpy(bad, jpeg_8x8, sizeof jpeg_8x8);
        bad[i] ^= 0x55;
        if (rad_picture_read(&p, bad, sizeof jpeg_8x8, "bad.jpg", &err) == RAD_OK)
            free(p.rgb);
    }
    for (size_t i = 0; i < sizeof png_7x5; i++) {
        memcpy(bad, png_7x5, sizeof png_7x5);
        bad[i] ^= 0x55;
        if (rad_picture_read(&p, bad, sizeof png_7x5, "bad.png", &err) == RAD_OK)
            free(p.rgb);
    }
    REFUSES(rad_picture_read(&p, "GIF89a", 6, "a.gif", &err), RAD_E_PARSE,
            "a.gif: expected a PNG, JPEG or .npy file");
    REFUSES(rad_picture_read(&p, "", 0, "empty", &err), RAD_E_PARSE, "expected a PNG");
}

/* ---- .npy ---------------------------------------------------------------------------------- */

static void put_npy(const char *header, size_t floats)
{
    unsigned char b[512] = "\x93NUMPY\x01";
    const size_t len = strlen(header);
    b[8] = (unsigned char)len;
    memcpy(b + 10, header, len);
    for (size_t i = 0; i < floats; i++) {
        const float x = (float)i;
        memcpy(b + 10 + len + 4 * i, &x, 4);
    }
    put(DIR "/a.npy", b, 10 + len + 4 * floats);
}

static void arrays_are_taken_as_they_are(void)
{
    float *x = NULL;
    put_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 2), }\n", 12);
    OK(rad_image_open(&x, DIR "/a.npy", DIR "/nowhere", 2, &err));
    CU_ASSERT(x[0] == 0.0f && x[11] == 11.0f);
    free(x);
    REFUSES(rad_image_open(&x, DIR "/a.npy", DIR, 4, &err), RAD_E_RANGE, "shape (3, 4, 4)");
    put_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2, 2), }\n", 12);
    REFUSES(rad_image_open(&x, DIR "/a.npy", DIR, 2, &err), RAD_E_RANGE, "expected float32 '<f4'");
    put_npy("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2, 2), }\n", 12);
    REFUSES(rad_image_open(&x, DIR "/a.npy", DIR, 2, &err), RAD_E_RANGE, "C order");
    put_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 2), }\n", 11);
    REFUSES(rad_image_open(&x, DIR "/a.npy", DIR, 2, &err), RAD_E_PARSE, "48 bytes of data");
    put(DIR "/a.npy", "\x93NUMPY\x01\x00\xff\xff", 10);
    REFUSES(rad_image_open(&x, DIR "/a.npy", DIR, 2, &err), RAD_E_PARSE, "damaged .npy header");
}

CU_TestInfo image_tests[] = {
    {"pictures are resized as Pillow does", pictures_are_resized_as_pillow_does},
    {"JPEG pixels are those of Pillow", jpeg_pixels_are_those_of_pillow},
    {"pixels are normalised as the config says", pixels_are_normalised_as_the_config_says},
    {"bad preparations are refused", bad_preparations_are_refused},
    {"damaged pictures are refused", damaged_pictures_are_refused},
    {"arrays are taken as they are", arrays_are_taken_as_they_are},
    CU_TEST_INFO_NULL,
};
