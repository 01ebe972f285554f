    strcpy(to, from);      /* BAD */
    strcat (to, from);     /* BAD */
    sprintf(to, "%s", x);  /* BAD */
    snprintf(to, n, "%s", x);
    vsprintf(to, x, list); /* BAD */
    x = gets(line);        /* BAD */
    x = fgets(line, n, file);
    y = rand() % 6;        /* BAD */
    operation.random(x);
    instance->rand(x);
    x = alloca(n);         /* BAD */
    x = realloc(x, n);     /* BAD */
    error_set(error, "realloc(x) in a message");
