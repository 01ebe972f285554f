    if (module->operations.open == NULL) /* looks, and does not call: operations.open() */
        return module->operations.open(call);  /* BAD */
