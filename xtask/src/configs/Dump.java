// Prints what Kafka's classes say of every topic and broker configuration: a line each, in the notation that
// broker/src/config/catalogue.rs describes, behind the word `topic` or `broker`. Run by mod.rs.

import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.server.config.AbstractKafkaConfig;
import org.apache.kafka.server.config.DynamicBrokerConfig;
import org.apache.kafka.server.config.DynamicConfig;
import org.apache.kafka.server.config.ServerTopicConfigSynonyms;
import org.apache.kafka.storage.internals.log.LogConfig;

public class Dump {
    public static void main(String[] args) {
        for (ConfigDef.ConfigKey key : new TreeMap<>(LogConfig.configKeys()).values()) {
            StringBuilder synonyms = new StringBuilder();
            var known = ServerTopicConfigSynonyms.ALL_TOPIC_CONFIG_SYNONYMS.get(key.name);
            if (known != null) {
                for (var synonym : known) {
                    // A converter is an opaque function: what it makes of 1 is its factor.
                    String factor = synonym.converter().apply("1");
                    synonyms.append(synonyms.isEmpty() ? "" : ",").append(synonym.name());
                    if (!factor.equals("1")) synonyms.append('*').append(factor);
                }
            }
            print("topic", key, "topic", synonyms.toString());
        }
        Map<String, String> modes = DynamicBrokerConfig.dynamicConfigUpdateModes();
        Map<String, ConfigDef.ConfigKey> configured = AbstractKafkaConfig.CONFIG_DEF.configKeys();
        Map<String, ConfigDef.ConfigKey> keys = new TreeMap<>(configured);
        DynamicConfig.Broker.configKeys().forEach(keys::putIfAbsent);
        for (ConfigDef.ConfigKey key : keys.values()) {
            String mode = !configured.containsKey(key.name) ? "only-dynamic" : modes.getOrDefault(key.name, "static");
            var synonyms = DynamicBrokerConfig.brokerConfigSynonyms(key.name, false);
            print("broker", key, mode, synonyms.size() == 1 ? "" : String.join(",", synonyms));
        }
    }

    private static void print(String kind, ConfigDef.ConfigKey key, String mode, String synonyms) {
        String value = !key.hasDefault() ? "required"
            : key.defaultValue == null ? "null"
            : ConfigDef.convertToString(key.defaultValue, key.type);
        String importance = key.importance.name().toLowerCase() + (key.internalConfig ? ",internal" : "");
        String line = String.join(" ", kind, key.name, key.type.name().toLowerCase(), value.isEmpty() ? "\"\"" : value,
            allowed(key), importance, mode, synonyms);
        System.out.println(line.stripTrailing());
    }

    /** Validators have no other face than their text. */
    private static String allowed(ConfigDef.ConfigKey key) {
        if (key.validator == null) return "any";
        String text = key.validator.toString();
        if (text.equals("non-empty string") || text.equals("non-empty list")) return "nonempty";
        if (text.isEmpty() || text.equals("non-null string")) return "any";
        if (text.startsWith("[partitionId]:")) return "throttled";
        String fold = "";
        if (text.startsWith("(case insensitive) ")) {
            fold = "~";
            text = text.substring("(case insensitive) ".length());
        }
        String or = "";
        if (text.endsWith(" or -1")) {
            or = "|-1";
            text = text.substring(0, text.length() - " or -1".length());
        }
        if (!text.startsWith("[") || !text.endsWith("]")) throw new IllegalStateException(key.name + ": " + text);
        String inside = text.substring(1, text.length() - 1);
        if (inside.contains("...")) {
            return inside.replace(",...,", "..").replace(",...", "..").replace("...,", "..") + or;
        }
        return fold + inside.replace(", ", "|");
    }
}
