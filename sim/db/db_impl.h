/* db_impl.h - what the files of db/ share; not for others. */
#ifndef RAD_DB_IMPL_H
#define RAD_DB_IMPL_H

#include "db/db.h"

struct rad_db {
    sqlite3 *handle;
    char *path;
    const struct rad_db_format *format;
    bool writes;
};

#endif
