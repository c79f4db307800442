/* protobuf.c - the wire format, never reading past the end. */
#include "checkpoint/protobuf.h"

#include <string.h>

static bool read_varint(struct rad_pb *pb, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && pb->at < pb->end; shift += 7) {
        const uint64_t byte = *pb->at++;
        if (shift == 63 && byte > 1)
            return false;
        *out |= (byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool read_fixed(struct rad_pb *pb, size_t n, uint64_t *out)
{
    if ((size_t)(pb->end - pb->at) < n)
        return false;
    *out = 0;
    for (size_t i = n; i-- > 0;)
        *out = *out << 8 | pb->at[i];
    pb->at += n;
    return true;
}

static bool read_bytes(struct rad_pb *pb, struct rad_pb_field *out)
{
    uint64_t len = 0;
    if (!read_varint(pb, &len) || len > (uint64_t)(pb->end - pb->at))
        return false;
    out->data = pb->at;
    out->len = (size_t)len;
    pb->at += len;
    return true;
}

enum rad_pb_result rad_pb_next(struct rad_pb *pb, struct rad_pb_field *out)
{
    uint64_t key = 0;
    *out = (struct rad_pb_field){0};
    if (pb->at == pb->end)
        return RAD_PB_END;
    if (!read_varint(pb, &key) || key >> 3 == 0 || key >> 3 > 0x1fffffff)
        return RAD_PB_BAD;
    out->number = (uint32_t)(key >> 3);
    out->type = (enum rad_pb_type)(key & 7);
    bool ok = false;
    if (out->type == RAD_PB_VARINT)
        ok = read_varint(pb, &out->value);
    else if (out->type == RAD_PB_I64)
        ok = read_fixed(pb, 8, &out->value);
    else if (out->type == RAD_PB_I32)
        ok = read_fixed(pb, 4, &out->value);
    else if (out->type == RAD_PB_LEN)
        ok = read_bytes(pb, out);
    return ok ? RAD_PB_FIELD : RAD_PB_BAD;
}

float rad_pb_float(const struct rad_pb_field *f)
{
    const uint32_t bits = (uint32_t)f->value;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
