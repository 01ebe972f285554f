static int good(void)
{
    if (x)
        goto out;
    y = a ? b : c;
    switch (x) {
    case 1:
    default:
        goto out;
    }
out:
    return 0;
}

static int backward(void)
{
out:
    if (x)
        goto out; /* BAD */
    return 0;
}

static int elsewhere(void)
{
    goto fail; /* BAD */
fail: /* BAD */
    return 0;
}

static int twice(void)
{
    goto out;
out:
    x();
out: /* BAD */
    return 0;
}
