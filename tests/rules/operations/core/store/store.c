    status = store->module->operations.sign(key, &call, algorithm, input, signature);
