struct local;
