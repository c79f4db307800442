/* refuse.h - a call that must fail, and say why in one line. */
#ifndef RAD_TEST_REFUSE_H
#define RAD_TEST_REFUSE_H

#include "test.h"

#include <string.h>

/* The call returns status, and its message holds text. */
#define REFUSES(call, expected, text)                                                              \
    do {                                                                                           \
        err.msg[0] = '\0';                                                                         \
        const enum rad_status refuses_status_ = (call);                                            \
        const char *const refuses_text_ = (text);                                                  \
        CU_ASSERT_EQUAL(refuses_status_, (expected));                                              \
        if (strstr(err.msg, refuses_text_) == NULL)                                                \
            fprintf(stderr, "\n%s:%d: expected '%s'\n but found '%s'\n", __FILE__, __LINE__,       \
                    refuses_text_, err.msg);                                                       \
        CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, refuses_text_));                                    \
        CU_ASSERT_PTR_NULL(strchr(err.msg, '\n'));                                                 \
    } while (0)

#endif
