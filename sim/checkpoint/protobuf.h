/* protobuf.h - private to checkpoint: fields of a protocol-buffer message, one after the other.
 *
 * Wire format: a varint key (number << 3 | type), then a varint (type 0), 8 bytes (1), a length and
 * that many bytes (2), or 4 bytes (5). Source: the encoding guide of Protocol Buffers. */
#ifndef RAD_CHECKPOINT_PROTOBUF_H
#define RAD_CHECKPOINT_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rad_pb_type { RAD_PB_VARINT = 0, RAD_PB_I64 = 1, RAD_PB_LEN = 2, RAD_PB_I32 = 5 };

/* What is left of a message; borrowed. */
struct rad_pb {
    const unsigned char *at, *end;
};

struct rad_pb_field {
    uint32_t number;
    enum rad_pb_type type;
    uint64_t value;            /* VARINT, I64, I32 */
    const unsigned char *data; /* LEN: [len] */
    size_t len;
};

enum rad_pb_result { RAD_PB_END, RAD_PB_FIELD, RAD_PB_BAD };

/* Read the next field. BAD: cut short, a varint over 64 bits, a field number 0 or a group. */
enum rad_pb_result rad_pb_next(struct rad_pb *pb, struct rad_pb_field *out);

/* The value of an I32 field as a float. */
float rad_pb_float(const struct rad_pb_field *f);

#endif
