/* Made by subkeys.py, with root 00..1f and master key 10..1f. */
static const char subkey_vector_root[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
static const char subkey_vector_master[] = "101112131415161718191a1b1c1d1e1f";
static const struct {
    int class;
    uint32_t version;
    const char *purpose, *context;
    const char *subkey;
} subkey_vectors[] = {
    {1, 1u, "password", "", "0df835824ba0403e87379075accd4dbdbb5aaa7c6d872e98296e58c6e625180f"},
    {1, 1u, "password", "database/sales", "6b9823790f6a470e3eca3491cc8439335ddc68ad909b143b14fd883958d58150"},
    {2, 1u, "password", "", "5237727a3b9d395c3792252ba8777122407de71ccf19f65f8dc9e3574efae950"},
    {3, 1u, "password", "",
     "55454ccc411dbd3941264e6136b49692746c8ca6c2d7486ff2410ddea2e1578d6e80a6721d9baba943e5277228faca2d"},
    {4, 1u, "password", "",
     "14fbd93cbd5f83e9716017f1f87a41dc6d0a18c47b7a8aa5514d3f91704689ec044f9e2484c07e4f5a868582c91a27c1fe90fff9576e77747"
     "75b75448df7527f"},
    {5, 1u, "password", "", "1f85704a7bd74aeca2fe81169ad9246eff39f165919acd3d6574dd322a502dec"},
    {1, 2u, "password", "", "221f27d5748d22199162eda737f41afa5cdae821eec011dab43ec53df1103fdb"},
    {1, 4294967295u,
     "ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"
     "ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"
     "ppppppppppppppppppppppppppppp",
     "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
     "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
     "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
     "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
     "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
     "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
     "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
     "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
     "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
     "ccccccc",
     "e54d4ba91bce3641c1442bdb56f9fe1866923ba51cdbde137cbbeb16828ae3d4"},
    {4, 1u, "7c9e6679:passphrase", "", "8b54415a88b5908b6a96d5c7f909dcadf0a3f548d1393ef4348460b298fc0e62"},
    {1, 1u, "passwordd", "atabase/sales", "203d857082baa348bee019f672477c040f1f12dbb4c5e715795f4508930a6dad"},
};
static const struct {
    const char *context, *associated, *plaintext, *seal;
} seal_vector = {
    "database/sales",
    "record 5",
    "a password",
    "4b575301101112131415161718191a1b1c1d1e1f000000020870617373776f7264000102030405060708090a0b0c0d0e0f1011121314151617"
    "d4f1bf03d18d044868088115230f476512b48a4b0cf2153e5bc7",
};
