    x = realloc(x, n); /* a test may */
    strtok(x, ",");    /* BAD */
