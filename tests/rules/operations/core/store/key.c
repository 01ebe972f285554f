    status = operations->sign(key, call);      /* BAD */
    status = (*operations->sign) (key, call);  /* BAD */
    report("operations->sign(key)");
