/* Any bytes as optimization_config.yaml: what is accepted is complete, and what is refused leaves nothing behind. */
#include "config_file.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check_setting(const ce_config_file *file, ce_setting setting)
{
    const ce_yaml *node = file->settings[setting];
    uint64_t value;
    if (!node)
        return;
    MUST(node->kind == CE_YAML_TEXT && node->line > 0);
    MUST(strcmp(node->key, ce_setting_get(setting)->key) == 0);
    MUST(ce_setting_parse(setting, node->key, node->text, &value, NULL) == CE_OK);
}

static void check_model(const ce_config_file *file, const ce_config_model *model)
{
    MUST(*model->name && model->line > 0 && *model->target);
    MUST(model->target[0] == '/' || strcmp(model->target, model->name) == 0);
    MUST(ce_config_file_find(file, model->name) == model);
    for (const ce_yaml *a = model->aliases ? model->aliases->first : NULL; a; a = a->next)
        MUST(ce_config_file_find(file, a->text) == model);
    for (const ce_yaml *p = model->prompts ? model->prompts->first : NULL; p; p = p->next)
        MUST(*p->key && p->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ce_error error = {0};
    ce_config_file file;
    char *text = fuzz_copy(data, size);
    int status = ce_config_file_parse(&file, "/c.yaml", text, size, &error);
    free(text);
    fuzz_check_error(status, &error);
    MUST(status == CE_OK || (!file.path && !file.tree && !file.models));
    for (int i = 0; status == CE_OK && i < CE_SETTINGS; i++)
        check_setting(&file, (ce_setting)i);
    for (size_t i = 0; i < file.model_count; i++)
        check_model(&file, &file.models[i]);
    ce_config_file_free(&file);
    return 0;
}
