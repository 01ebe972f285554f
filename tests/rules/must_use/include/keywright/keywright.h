KW_MUST_USE KW_API kw_status kw_one(void);
KW_API kw_status kw_two(void); /* BAD */
    kw_status (*slot)(void);
