/* torch_pickle.h - private to torch_pickle.c, torch_calls.c and torch_stack.c: the pickle machine.
 */
#ifndef RAD_CHECKPOINT_TORCH_PICKLE_H
#define RAD_CHECKPOINT_TORCH_PICKLE_H

#include "checkpoint/outside.h"
#include "checkpoint/torch.h"

/* What a global name stands for. */
enum rad_pickle_class {
    RAD_PICKLE_ORDERED_DICT,
    RAD_PICKLE_REBUILD_TENSOR,
    RAD_PICKLE_REBUILD_PARAMETER,
    RAD_PICKLE_SIZE,
    RAD_PICKLE_STORAGE,
};

enum rad_pickle_kind {
    RAD_PICKLE_OTHER, /* None, truth values, floats, lists: nothing that is looked at */
    RAD_PICKLE_INT,
    RAD_PICKLE_TEXT,
    RAD_PICKLE_TUPLE,
    RAD_PICKLE_DICT,
    RAD_PICKLE_CLASS,
    RAD_PICKLE_OF_STORAGE,
    RAD_PICKLE_OF_TENSOR,
};

struct rad_pickle_value {
    enum rad_pickle_kind kind;
    enum rad_pickle_class class;
    const struct rad_st_dtype *dtype; /* of storages and their classes */
    struct rad_pickle_text text;      /* or the key of a storage */
    int64_t i;                        /* or the elements of a storage */
    uint32_t first, n;                /* items of a tuple; first: the tensor */
};

/* A list that grows; every step takes a byte, so that RAD_PICKLE_MAX bounds it. */
struct rad_pickle_list {
    void *item;
    size_t n, room;
};

/* Values are numbers into `value`. */
struct rad_pickle_machine {
    const struct rad_st_source *src;
    struct rad_err *err;
    const unsigned char *at, *end;
    struct rad_pickle_list value;  /* struct rad_pickle_value */
    struct rad_pickle_list stack;  /* uint32_t */
    struct rad_pickle_list mark;   /* uint32_t: heights of the stack */
    struct rad_pickle_list memo;   /* uint32_t */
    struct rad_pickle_list item;   /* uint32_t, of tuples */
    struct rad_pickle_list pair;   /* struct rad_pickle_pair */
    struct rad_pickle_list tensor; /* struct rad_pickle_tensor, without names */
};

struct rad_pickle_pair { /* what was put into a dict */
    uint32_t dict, key, value;
};

enum { RAD_PICKLE_VALUES_MAX = 1 << 22 }; /* a tensor takes about 15 */

/* Room for one more of so many bytes; NULL: out of memory. */
void *rad_pickle_add(struct rad_pickle_list *list, size_t bytes);
struct rad_pickle_value *rad_pickle_at(const struct rad_pickle_machine *m, uint32_t value);
/* errors: RAD_E_PARSE, "PATH: data.pkl offset N: " before what */
enum rad_status rad_pickle_bad(const struct rad_pickle_machine *m, const char *what);
enum rad_status rad_pickle_no_memory(const struct rad_pickle_machine *m);
enum rad_status rad_pickle_add_number(struct rad_pickle_machine *m, struct rad_pickle_list *list,
                                      uint32_t x);

/* The stack: values above the last mark can be taken, `first` is a height. */
enum rad_status rad_pickle_need(const struct rad_pickle_machine *m, size_t n);
enum rad_status rad_pickle_pop(struct rad_pickle_machine *m, uint32_t *out);
enum rad_status rad_pickle_top(const struct rad_pickle_machine *m, uint32_t *out);
enum rad_status rad_pickle_pop_mark(struct rad_pickle_machine *m, size_t *first);
enum rad_status rad_pickle_make_tuple(struct rad_pickle_machine *m, size_t first);
enum rad_status rad_pickle_make_small_tuple(struct rad_pickle_machine *m, size_t n);
enum rad_status rad_pickle_set_items(struct rad_pickle_machine *m, size_t first);
enum rad_status rad_pickle_put(struct rad_pickle_machine *m, uint64_t at);
enum rad_status rad_pickle_get(struct rad_pickle_machine *m, uint64_t at);
enum rad_status rad_pickle_push(struct rad_pickle_machine *m, struct rad_pickle_value value);

/* A global name, a persistent id, a call: what they make is pushed. */
enum rad_status rad_pickle_global(struct rad_pickle_machine *m, struct rad_pickle_text module,
                                  struct rad_pickle_text name);
enum rad_status rad_pickle_persistent(struct rad_pickle_machine *m, uint32_t id);
enum rad_status rad_pickle_call(struct rad_pickle_machine *m, uint32_t class, uint32_t arguments);

#endif
