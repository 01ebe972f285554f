KW_MUST_USE kw_status thing_open(struct thing **thing, kw_error *error);
kw_status thing_close(struct thing *thing, kw_error *error); /* BAD */
kw_status thing_error(kw_error *error, kw_status status);
typedef kw_status (*callback)(void *user);
