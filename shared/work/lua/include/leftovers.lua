-- What a job leaves behind when nobody goes on with it.

-- The upload it was to take in, or "".
local function upload_of(key)
  local upload = cjson.decode(get(key, 'params') or '{}').upload_id
  return type(upload) == 'string' and upload or ''
end
