    x = realloc(x, n);
