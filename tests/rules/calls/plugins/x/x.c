    if (system("true") == 0) /* BAD */
        popen(command, "r"); /* BAD */
    x = reallocarray(x, n, m); /* BAD */
