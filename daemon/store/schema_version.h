/*
 * The version of the schema `slotbell` (config/sql) that this build speaks to.
 *
 * slotbellctl brings a database to it, slotbelld checks for it at each
 * connect. A step in config/sql raises it by one.
 */
#ifndef SB_STORE_SCHEMA_VERSION_H
#define SB_STORE_SCHEMA_VERSION_H

#define SB_SCHEMA_VERSION 8

#endif
